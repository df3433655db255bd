package cache

import (
	"reflect"
	"time"
)

// scale estimates how much memory names take. Measured against the heap by
// TestNamesBytesMatchTheHeap.
type scale[E any] struct {
	entry int64 // bytes of an E itself
	flat  bool  // an E refers to no other memory
}

func newScale[E any]() scale[E] {
	t := reflect.TypeFor[E]()
	return scale[E]{entry: int64(t.Size()), flat: flat(t)}
}

// Overheads in bytes on 64-bit machines.
const (
	directoryWeight = 512 // the struct, its two maps' first groups, and its place in the order of use
	stringWeight    = 8   // what the allocator rounds up, on average
	changeWeight    = 112 // the struct less its entry, and a map slot (24 bytes, 7/16 full at worst)
)

func (scale[E]) directory(path string) int64 { return directoryWeight + 2*int64(len(path)) }

func (s scale[E]) change(name string, e *E) int64 {
	return changeWeight + s.entry + stringWeight + int64(len(name)) + s.referred(e)
}

func (s scale[E]) listing(listed []Named[E]) (sum int64) {
	for i := range listed {
		sum += s.named(&listed[i])
	}
	return sum
}

// named is the weight of a name in a listing; 16 bytes are the string's header.
func (s scale[E]) named(e *Named[E]) int64 {
	return 16 + s.entry + stringWeight + int64(len(e.Name)) + s.referred(&e.Entry)
}

// referred is the memory that an entry refers to.
func (s scale[E]) referred(e *E) int64 {
	if s.flat {
		return 0
	}
	return referred(reflect.ValueOf(e).Elem())
}

// flat reports whether values of a type refer to no memory of their own.
func flat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Slice, reflect.Map, reflect.Interface:
		return false
	case reflect.Pointer:
		return shared(t)
	case reflect.Array:
		return flat(t.Elem())
	case reflect.Struct:
		for f := range t.NumField() {
			if !flat(t.Field(f).Type) {
				return false
			}
		}
	}
	return true
}

// shared reports whether a pointer type refers to something that all have in
// common: a time's zone.
func shared(t reflect.Type) bool { return t == reflect.TypeFor[*time.Location]() }

// referred adds up strings, and what pointers, slices and maps lead to.
// Entries are values, without cycles.
func referred(v reflect.Value) (sum int64) {
	switch v.Kind() {
	case reflect.String:
		if v.Len() > 0 {
			sum = stringWeight + int64(v.Len())
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() && !shared(v.Type()) {
			sum = stringWeight + int64(v.Elem().Type().Size()) + referred(v.Elem())
		}
	case reflect.Slice:
		sum = int64(v.Cap()) * int64(v.Type().Elem().Size())
		fallthrough
	case reflect.Array:
		if flat(v.Type().Elem()) {
			return sum
		}
		for i := range v.Len() {
			sum += referred(v.Index(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			sum += 2*int64(v.Type().Key().Size()+v.Type().Elem().Size()) + referred(it.Key()) + referred(it.Value())
		}
	case reflect.Struct:
		for f := range v.NumField() {
			sum += referred(v.Field(f))
		}
	}
	return sum
}
