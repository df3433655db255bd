package snapshot

// What 1,000 requests cost in US dollars, from S3's price list for us-east-1 and
// class STANDARD; GovCloud asks a little more. Deletions are free.
const (
	priceWrite = 0.005  // PUT, COPY, POST, LIST
	priceRead  = 0.0004 // GET, HEAD
)

// pageSize is how many objects a listing tells of at a time.
const pageSize = 1000

// Cost is what a run would ask of the server, in a dry run: the requests that
// grow with the number of objects, by S3's public prices.
type Cost struct {
	Copies  int64   `json:"copies"`
	Bytes   int64   `json:"copied_bytes"`
	Lists   int64   `json:"list_requests"`
	Reads   int64   `json:"read_requests"`   // GET and HEAD
	Writes  int64   `json:"write_requests"`  // copies, parts, plans, segments and manifests
	Deletes int64   `json:"delete_requests"` // of up to 1,000 objects each
	Dollars float64 `json:"dollars"`
}

// copy counts one copy.
func (c *Cost) copy(size int64, cfg Config) {
	c.Copies++
	c.Bytes += size
	c.Writes += copyRequests(size, cfg)
}

// total works out the price.
func (c *Cost) total() {
	c.Dollars = float64(c.Lists+c.Writes)/1000*priceWrite + float64(c.Reads)/1000*priceRead
}

// copyRequests is how many requests a copy takes that the server makes.
func copyRequests(size int64, cfg Config) int64 {
	if size > cfg.CopyLimit {
		return 2 + int64(len(parts(size, cfg.PartSize)))
	}
	return 1
}

// pages is how many listings tell of n objects.
func pages(n int64) int64 { return (n + pageSize - 1) / pageSize }
