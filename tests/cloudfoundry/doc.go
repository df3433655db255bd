// Package cloudfoundry tests the whole program where its users are: logged in
// to a foundation, with a space and an S3 service in it. The foundation is
// package capitest's, the S3 server a real one, and a service key of the
// foundation is an account of that server, so that a deleted key is refused.
package cloudfoundry
