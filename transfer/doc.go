// Package transfer moves bytes between programs and a bucket within one memory
// budget.
//
// An [Engine] owns the budget. A [Reader] delivers one version of an object and
// guesses from the offsets what will be asked for next. A [Draft] is unsaved
// content of one object: written from start to end it leaves for S3 in parts
// while the program writes on; edited anywhere else it stays here, in memory
// while it is small and in a private file when it is not, until Commit.
//
// # Memory
//
// All buffers come from one pool (pool.go). Readers and drafts each have a
// share of it that the other side cannot take. What somebody is waiting for
// queues, first come first served; what is only expected to be useful
// (read-ahead) is taken when it is free and given up when somebody waits. A
// draft that gets no memory writes to its staging file instead of waiting, unless
// uploads of its own are about to free some: nobody waits for memory while
// holding memory that only he could free, so the budget slows things down and
// never stops them.
//
// # Requests
//
// Buffers are taken before the request that fills them is sent, so that no
// answer is left unread while memory is short, and a request never waits inside
// another one (a limit on requests in flight would turn that into a deadlock).
//
// # Versions
//
// Every request of a Reader after the one that fixed its version carries that
// version's ETag. A Draft knows the version that it was edited from, its base;
// untouched bytes of the base are read, or copied by the server, under the
// base's ETag only. Another version is s3.ErrChanged, never a mixture.
//
// # Locks
//
// Draft.turn, held by whoever changes or sends the content, also across
// requests; then Draft.mu or Reader.mu, held across local work only; then
// Engine.mu; then the pool's.
package transfer
