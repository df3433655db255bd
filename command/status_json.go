package command

import (
	"encoding/json"
	"time"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/transfer"
)

// statusJSON is a status as --json prints it: what a mount answers has the names
// of our own fields, which may change, and this is what programs rely on.
type statusJSON struct {
	Directory   string             `json:"directory"`
	Source      string             `json:"source"`
	Bucket      string             `json:"bucket"`
	Prefix      string             `json:"prefix,omitempty"`
	Endpoint    string             `json:"endpoint,omitempty"`
	Credentials string             `json:"credentials"` // where they came from
	KeyID       string             `json:"key_id,omitempty"`
	Service     string             `json:"service,omitempty"`
	Version     string             `json:"version"`
	PID         int                `json:"pid"`
	Began       time.Time          `json:"began"`
	ReadOnly    bool               `json:"read_only"`
	Open        int                `json:"open"`
	Nodes       int                `json:"nodes"`
	Unsaved     []unsavedJSON      `json:"unsaved"`
	Pending     int                `json:"pending"`
	Failures    []failureJSON      `json:"failures"`
	Recovery    string             `json:"recovery"`
	Memory      int64              `json:"memory_limit"`
	Transfer    transferJSON       `json:"transfer"`
	Names       namesJSON          `json:"names"`
	Cache       cacheJSON          `json:"cache"`
	Requests    map[string]opCount `json:"requests"` // by S3's name of the operation
}

type unsavedJSON struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
	Why  string `json:"why,omitempty"`
}

type failureJSON struct {
	Time  time.Time `json:"time"`
	Op    string    `json:"op"`
	Path  string    `json:"path"`
	Errno string    `json:"errno"`
	Cause string    `json:"cause"`
	Times int       `json:"times"`
}

type transferJSON struct {
	MemoryLimit int64 `json:"memory_limit"`
	MemoryUsed  int64 `json:"memory_used"`
	MemoryIdle  int64 `json:"memory_idle"`
	MemoryPeak  int64 `json:"memory_peak"`
	Staged      int64 `json:"staged"`
	Readers     int   `json:"readers"`
	Drafts      int   `json:"drafts"`
}

type namesJSON struct {
	Directories int    `json:"directories"`
	Bytes       int64  `json:"bytes"`
	Hits        uint64 `json:"hits"`
	Misses      uint64 `json:"misses"`
	Evicted     uint64 `json:"evicted"`
}

type cacheJSON struct {
	Hits         uint64   `json:"hits"`
	Misses       uint64   `json:"misses"`
	MemoryBlocks int      `json:"memory_blocks"`
	MemoryBytes  int64    `json:"memory_bytes"`
	Disk         diskJSON `json:"disk"`
}

type diskJSON struct {
	Hits     uint64 `json:"hits"`
	Stored   uint64 `json:"stored"`
	Skipped  uint64 `json:"skipped"`
	Damaged  uint64 `json:"damaged"`
	Failures uint64 `json:"failures"`
	Blocks   int    `json:"blocks"`
	Bytes    int64  `json:"bytes"`
	Max      int64  `json:"max"`
	Loading  bool   `json:"loading"`
	Aside    bool   `json:"aside"`
}

// mountJSON is a mount as the list of mounts has it.
type mountJSON struct {
	Directory string `json:"directory"`
	Source    string `json:"source"`
	State     string `json:"state"`
	Unsaved   int    `json:"unsaved"`
}

func statusOut(dir string, s status) (statusJSON, error) {
	var moved transfer.Stats
	if err := json.Unmarshal(s.Transfer, &moved); err != nil {
		return statusJSON{}, err
	}
	var names cache.NamesStats
	if err := json.Unmarshal(s.Names, &names); err != nil {
		return statusJSON{}, err
	}
	out := statusJSON{
		Directory: dir, Source: s.Source, Bucket: s.More.Bucket, Prefix: s.More.Prefix, Endpoint: s.More.Endpoint,
		Credentials: s.More.Credentials, KeyID: s.More.KeyID, Service: s.More.Service, Version: s.More.Version,
		PID: s.PID, Began: s.Began, ReadOnly: s.ReadOnly, Open: s.Open, Nodes: s.Nodes,
		Unsaved: []unsavedJSON{}, Pending: s.Pending, Failures: []failureJSON{}, Recovery: s.Recovery, Memory: s.More.Memory,
		Transfer: transferJSON(moved), Names: namesJSON(names), Cache: cacheOut(s.More.Cache), Requests: s.More.Requests,
	}
	for _, u := range s.Unsaved {
		out.Unsaved = append(out.Unsaved, unsavedJSON(u))
	}
	for _, f := range s.Failures {
		out.Failures = append(out.Failures, failureJSON(f))
	}
	return out, nil
}

func cacheOut(s cache.BlocksStats) cacheJSON {
	return cacheJSON{Hits: s.Hits, Misses: s.Misses, MemoryBlocks: s.MemoryBlocks, MemoryBytes: s.MemoryBytes, Disk: diskJSON(s.Disk)}
}
