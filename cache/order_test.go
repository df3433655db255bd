package cache

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestOrderMatchesAPlainList compares an order with a slice that does the same
// slowly.
func TestOrderMatchesAPlainList(t *testing.T) {
	type kept struct{ key, value int } // its group is key%3, its weight value
	rapid.Check(t, func(t *rapid.T) {
		o := newOrder[int, int, int]()
		var list []kept // least recently used first
		take := func(key int) (k kept, ok bool) {
			i := slices.IndexFunc(list, func(k kept) bool { return k.key == key })
			if i < 0 {
				return k, false
			}
			k = list[i]
			list = slices.Delete(list, i, i+1)
			return k, true
		}
		key := func() int { return rapid.IntRange(0, 9).Draw(t, "key") }
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				k := kept{key(), rapid.IntRange(0, 5).Draw(t, "value")}
				take(k.key)
				list = append(list, k)
				o.add(k.key, k.key%3, k.value, int64(k.value))
			},
			"get": func(t *rapid.T) {
				key := key()
				k, ok := take(key)
				if ok {
					list = append(list, k)
				}
				if v, got := o.get(key); v != k.value || got != ok {
					t.Fatalf("get(%d) = %d, %v, want %d, %v", key, v, got, k.value, ok)
				}
			},
			"remove": func(t *rapid.T) {
				key := key()
				k, _ := take(key)
				if bytes := o.remove(key); bytes != int64(k.value) {
					t.Fatalf("remove(%d) = %d, want %d", key, bytes, k.value)
				}
			},
			"oldest": func(t *rapid.T) {
				key, bytes, ok := o.removeOldest()
				if ok != (len(list) > 0) {
					t.Fatalf("removeOldest of %d: %v", len(list), ok)
				}
				if ok {
					if want := list[0]; key != want.key || bytes != int64(want.value) {
						t.Fatalf("removeOldest = %d, %d, want %v", key, bytes, want)
					}
					list = list[1:]
				}
			},
			"": func(t *rapid.T) {
				sum := int64(0)
				groups := make([][]int, 3)
				for _, k := range list {
					sum += int64(k.value)
					groups[k.key%3] = append(groups[k.key%3], k.key)
				}
				if o.bytes != sum || o.len() != len(list) || len(o.groups) > 3 {
					t.Fatalf("%d bytes in %d, want %d in %d", o.bytes, o.len(), sum, len(list))
				}
				for g, want := range groups {
					got := o.group(g)
					slices.Sort(got)
					slices.Sort(want)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Fatalf("group %d (-want +got):\n%s", g, diff)
					}
				}
			},
		})
	})
}
