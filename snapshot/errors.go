package snapshot

import "errors"

// What callers tell apart, with errors.Is. Errors of the buckets come through
// with their kinds from package s3.
var (
	ErrNoSnapshot = errors.New("no such snapshot")
	ErrNoKey      = errors.New("no such key")
	ErrLocked     = errors.New("another run is at work") // see the text for who and since when
	ErrLost       = errors.New("another run took over")  // our lease was taken; everything done so far stays
	ErrRefused    = errors.New("refused")                // a safety rule; the text says which and how to go on
	ErrDamaged    = errors.New("snapshot is damaged")    // a control file does not say what it must
	ErrDiffers    = errors.New("differs")                // by somebody else's hand, between looking and acting
)
