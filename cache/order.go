package cache

import (
	"math"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// order keeps values in the order of their use, adds up their weights, and
// finds all members of a group. It bounds nothing by itself and does no locking.
type order[K, G comparable, V any] struct {
	lru    *simplelru.LRU[K, *item[K, G, V]]
	groups map[G]*item[K, G, V] // the head of each group's list
	bytes  int64
}

// item is a value and its place in the list of its group.
type item[K, G comparable, V any] struct {
	key        K
	group      G
	value      V
	bytes      int64
	prev, next *item[K, G, V]
}

func newOrder[K, G comparable, V any]() *order[K, G, V] {
	o := &order[K, G, V]{groups: map[G]*item[K, G, V]{}}
	// NewLRU fails only for a size below one.
	o.lru, _ = simplelru.NewLRU(math.MaxInt, func(_ K, i *item[K, G, V]) { o.unlink(i) })
	return o
}

// get returns a value, which then counts as used.
func (o *order[K, G, V]) get(k K) (v V, ok bool) {
	if i, ok := o.lru.Get(k); ok {
		return i.value, true
	}
	return v, false
}

func (o *order[K, G, V]) contains(k K) bool { return o.lru.Contains(k) }

func (o *order[K, G, V]) len() int { return o.lru.Len() }

// add makes k the most recently used, in place of what it was.
func (o *order[K, G, V]) add(k K, g G, v V, bytes int64) {
	o.lru.Remove(k)
	i := &item[K, G, V]{key: k, group: g, value: v, bytes: bytes, next: o.groups[g]}
	if i.next != nil {
		i.next.prev = i
	}
	o.groups[g] = i
	o.bytes += bytes
	o.lru.Add(k, i)
}

// remove returns the weight of k, 0 if it is not there.
func (o *order[K, G, V]) remove(k K) int64 {
	i, ok := o.lru.Peek(k)
	if !ok {
		return 0
	}
	o.lru.Remove(k)
	return i.bytes
}

// removeOldest removes what was used least recently.
func (o *order[K, G, V]) removeOldest() (k K, bytes int64, ok bool) {
	k, i, ok := o.lru.RemoveOldest()
	if !ok {
		return k, 0, false
	}
	return k, i.bytes, true
}

// group returns the members of a group.
func (o *order[K, G, V]) group(g G) (keys []K) {
	for i := o.groups[g]; i != nil; i = i.next {
		keys = append(keys, i.key)
	}
	return keys
}

func (o *order[K, G, V]) unlink(i *item[K, G, V]) {
	o.bytes -= i.bytes
	if i.next != nil {
		i.next.prev = i.prev
	}
	switch {
	case i.prev != nil:
		i.prev.next = i.next
	case i.next != nil:
		o.groups[i.group] = i.next
	default:
		delete(o.groups, i.group)
	}
}
