// Package capitest is a foundation for tests: a UAA and a Cloud Controller in
// the test's process, on loopback. What it answers follows the documented API
// version 3 and the source of cloud_controller_ng: pages, filters that are
// unescaped twice, parameters it doesn't know refused, jobs that take a while,
// keys that are half made, roles that see less, tokens that expire and rotate,
// and error bodies with their codes.
package capitest
