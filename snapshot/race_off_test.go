//go:build !race

package snapshot

// raceDetector says whether the test is built with it.
const raceDetector = false
