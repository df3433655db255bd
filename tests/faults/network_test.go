package faults

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// What networks do to bytes and connections, below HTTP, reaches no program: it
// is slower, and right. The harness's own proxy speaks HTTP and can't do these:
// toxiproxy can.
//
// Where some connections are bad, each request has one of its own, or there would be
// three in all. Three in twenty are bad: of ten attempts all are once in 170 million
// times.
func TestNetworkTroubleReachesNoProgram(t *testing.T) {
	for _, row := range []struct{ what, toxic string }{
		{"answers are late by turns", `"type": "latency", "attributes": {"latency": 30, "jitter": 25}`},
		{"requests are late by turns", `"type": "latency", "stream": "upstream", "attributes": {"latency": 30, "jitter": 25}`},
		{"answers come in crumbs", `"type": "slicer", "attributes": {"average_size": 900, "size_variation": 800, "delay": 20}`},
		{"requests go in crumbs", `"type": "slicer", "stream": "upstream", "attributes": {"average_size": 900, "size_variation": 800, "delay": 20}`},
		{"little bandwidth", `"type": "bandwidth", "attributes": {"rate": 2000}`},
		{"connections end after 40,000 bytes", `"type": "limit_data", "attributes": {"bytes": 40000}`},
		{"connections are reset", `"type": "reset_peer", "toxicity": 0.15, "attributes": {"timeout": 0}`},
		{"connections are reset a little later", `"type": "reset_peer", "toxicity": 0.15, "attributes": {"timeout": 50}`},
		{"connections fall silent and end", `"type": "timeout", "toxicity": 0.15, "attributes": {"timeout": 200}`},
		{"connections close slowly", `"type": "slow_close", "attributes": {"delay": 200}`},
	} {
		t.Run(row.what, func(t *testing.T) {
			s := harness.NewServer(t)
			s.Proxy.OneRequestEach()
			client := s.Bucket(t)
			network := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "s3", "127.0.0.1:0", s.Proxy.Addr())
			if err := network.Start(); err != nil {
				t.Fatal(err)
			}
			defer network.Stop()
			m := s.MountWith(t, client.Bucket, harness.MountOptions{Endpoint: "http://" + network.Listen})
			if _, err := network.Toxics.AddToxicJson(strings.NewReader(`{"name": "trouble", ` + row.toxic + `}`)); err != nil {
				t.Fatal(err)
			}
			s.Proxy.Reset()
			useNetwork(t, m, client)
			t.Logf("%d requests", len(s.Proxy.Requests()))
			network.Toxics.ResetToxics(t.Context())
		})
	}
}

// useNetwork makes, reads, lists, moves and removes files of some sizes.
func useNetwork(t *testing.T, m *harness.Mount, client *harness.Client) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(m.Path("dir"), 0o755))
	for i, size := range []int{10, 100_000, 1 << 20, 9 << 20} {
		name, moved := fmt.Sprintf("dir/file%d", i), fmt.Sprintf("dir/moved%d", i)
		data := harness.Noise(uint64(i), size)
		must(os.WriteFile(m.Path(name), data, 0o644))
		if got := client.Get(t, name); string(got) != string(data) {
			t.Fatalf("%s: the object holds %d other bytes", name, len(got))
		}
		must(os.Rename(m.Path(name), m.Path(moved)))
		client.Put(t, moved, data[size/2:]) // nothing of it is known here
		got, err := os.ReadFile(m.Path(moved))
		must(err)
		if string(got) != string(data[size/2:]) {
			t.Fatalf("%s: read %d other bytes", moved, len(got))
		}
		names, err := os.ReadDir(m.Path("dir"))
		must(err)
		if len(names) != 1 || names[0].Name() != fmt.Sprintf("moved%d", i) {
			t.Fatalf("the directory has %v", names)
		}
		must(os.Remove(m.Path(moved)))
	}
}
