package snapshot

import "iter"

// pair is what two sides, each in key order, have for one key.
type pair[A, B any] struct {
	key string
	a   A
	b   B
	inA bool
	inB bool
}

// merge goes through two sequences in key order at once. After an error of
// either there are no more pairs.
func merge[A, B any](as iter.Seq2[A, error], keyA func(A) string, bs iter.Seq2[B, error], keyB func(B) string) iter.Seq2[pair[A, B], error] {
	return func(yield func(pair[A, B], error) bool) {
		nextA, stopA := iter.Pull2(as)
		defer stopA()
		nextB, stopB := iter.Pull2(bs)
		defer stopB()
		a, errA, moreA := nextA()
		b, errB, moreB := nextB()
		for moreA || moreB {
			if errA != nil || errB != nil {
				err := errA
				if err == nil {
					err = errB
				}
				yield(pair[A, B]{}, err)
				return
			}
			var p pair[A, B]
			if moreA && (!moreB || keyA(a) <= keyB(b)) {
				p.key, p.a, p.inA = keyA(a), a, true
			}
			if moreB && (!moreA || keyB(b) <= keyA(a)) {
				p.key, p.b, p.inB = keyB(b), b, true
			}
			if p.inA {
				a, errA, moreA = nextA()
			}
			if p.inB {
				b, errB, moreB = nextB()
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

func entryKey(e Entry) string { return e.Key }
