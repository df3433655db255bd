package cache

import "flag"

// Properties are checked on the same cases every time; make soak draws others.
var _ = flag.Set("rapid.seed", "1")
