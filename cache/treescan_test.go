package cache

import (
	"testing"
	"time"
)

func TestTreeScanBringsWholeDirectories(t *testing.T) {
	n := NewNames[int](NamesConfig{TTL: time.Minute, NegativeTTL: time.Minute})
	s := n.BeginTree("p/")
	n.Put("p/b/", "made", 7)
	s.Done("p/a/", []Named[int]{{"x", 1}})
	s.Done("p/b/", []Named[int]{{"y", 2}})
	if _, _, ok := n.Dir("p/a/"); !ok {
		t.Error("p/a/ was listed whole and is not known")
	}
	if e, _, v := n.Lookup("p/a/", "x"); v != Present || e != 1 {
		t.Errorf("x is %v %v", e, v)
	}
	if _, _, ok := n.Dir("p/b/"); ok {
		t.Error("p/b/ was changed during the scan, and the scan's listing of it is taken for complete")
	}
	if e, _, v := n.Lookup("p/b/", "made"); v != Present || e != 7 {
		t.Errorf("what this mount made is %v %v", e, v)
	}
	n.DropTree("p/c/")
	s.Done("p/d/", nil)
	if _, _, ok := n.Dir("p/d/"); ok {
		t.Error("a scan goes on after a drop in its tree")
	}
	s.End()
	s.Done("p/e/", nil)
	if _, _, ok := n.Dir("p/e/"); ok {
		t.Error("a scan goes on after its end")
	}
}
