// Package snapshot keeps dated copies of a bucket that any S3 tool can read and
// that are known to be complete.
//
// A snapshot is a plain tree of objects under a dated prefix, and beside it,
// outside that prefix, what is known about it:
//
//	data/2026/11/23/<key>                       the objects, keys as in the bucket
//	data/2026/11/23T141502Z/<key>               a later snapshot of the same day (UTC)
//	data/.cgs3fs/2026-11-23/claim.json          who is making it, while it is made
//	data/.cgs3fs/2026-11-23/plan/00000001.ndjson.gz   which versions are about to be copied
//	data/.cgs3fs/2026-11-23/seg/00000001.ndjson.gz    which versions were copied
//	data/.cgs3fs/2026-11-23/manifest.json       the whole; written last
//	data/.cgs3fs/2026-11-23/long/<sha256>       objects whose dated key would pass 1,024 bytes
//	data/.cgs3fs/lock                           held while snapshots are removed or restored
//	data/.cgs3fs/restore/<run>.json             an upload that a restore is at
//
// # The register
//
// manifest.json decides everything about a snapshot, and it changes only by
// conditional writes: it is created once (If-None-Match), and replaced only by
// who has seen its last state (If-Match). Its State goes
//
//	absent -> complete or partial -> deleting -> absent
//
// so that a commit, a pin, a change of links and a removal can never both
// succeed on the same state. A snapshot exists for list, restore, verify and
// prune if its manifest says complete or partial. An abandoned run is removed by
// writing "deleting" where its commit would have to go, after which it cannot
// commit any more.
//
// # Spans
//
// The key space is cut into spans, each (After, Through]. A segment covers one
// span: it says what the bucket held there, and by existing that all of it was
// copied. Before its first copy a span's plan is written; it names the exact
// version of each object. All copies are conditional on the planned ETag, so an
// object found at a planned place is the planned version, whatever became of its
// writer: that makes a crashed run resumable without copying anything twice.
// Before the commit the spans must tile the key space without gap or overlap,
// and one listing of the copies must agree with the segments.
//
// # Links
//
// In an incremental snapshot an unchanged object is a link to the snapshot that
// owns a copy: Entry.Owner. Links always name the owner, never another link, and
// an owner is always older. Before a snapshot is removed, objects still linked
// are copied into the oldest snapshot that links them.
//
// # Leases
//
// claim.json and lock are leases: written again every two minutes, dead after
// ten without. Their ages are judged by the server's clock. A run that loses its
// lease stops. A run that makes a snapshot writes its claim and then looks for
// the lock and for other claims; one that removes takes the lock and then looks
// for claims; so at least one of two sees the other. What a run looked at before
// it had its lease may have changed, and after it committed others may write: it
// looks again first, and has nothing left to do then.
package snapshot
