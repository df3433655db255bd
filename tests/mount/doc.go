// Package mount tests the program as its users meet it: mounted, with ordinary
// programs at work on it, against a real S3 server.
//
// Each test has a server and a mount of its own from package harness, which
// checks after every one of them that nothing is left behind. CGS3FS_SOAK=1h
// makes the random tests run that long instead of their usual length.
package mount
