// Package cache remembers what the bucket said, and may forget any of it at any
// moment: forgetting costs a request and never changes an answer. What is not
// in the bucket yet has no place here.
//
// It holds two things that know nothing of each other.
//
// # Names
//
// [Names] is what directories hold: which names are there, which are not, and
// what is known of each. Somebody else may change the bucket, so names expire.
// What this mount did itself is never contradicted by an older listing: a
// [Scan] marks where a listing begins, and what changes between then and its
// end wins over what it brings.
//
// # Blocks
//
// [Blocks] is pieces of content. A block is named by key, ETag and position, so
// it can be dropped but never be stale. Blocks are kept in memory and, with
// BlocksConfig.Dir, on disk, where they outlive the program; each file says
// which block it is and carries checksums, so that nothing the disk does can
// put wrong bytes into an answer. A disk that fails or is full makes the disk
// tier step aside.
//
// # Locks
//
// Names has one mutex, held for arithmetic only. Blocks has one for the memory
// tier and the fills under way, and its disk tier one for the index; no lock is
// held during I/O, during a fill, or while another is taken.
package cache
