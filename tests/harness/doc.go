// Package harness is what the tests of the whole program stand on: a real S3
// server, a proxy in front of it that counts and can do harm, and the program
// itself, mounted as a process of its own.
//
// # The server
//
// [Start] runs versitygw (pinned in this module's go.mod as a tool) over a
// temporary directory. It listens on a UNIX socket, so that two runs can never
// meet on a port; everybody reaches it through a [Proxy] on 127.0.0.1, which
// keeps its address when the server is killed and started again. [Server.Client]
// is an independent S3 client, the AWS SDK as it comes, with none of the
// program's code in it.
//
// # The program
//
// [Program] builds cgs3fs once. [Server.Mount] mounts a bucket in the
// foreground, as a child of the test, and takes it down when the test ends,
// whatever happened. Then it looks for what must not be left: an unfinished
// multipart upload, staged bytes, a process, a mount, a secret in a log.
package harness
