package proxy

import (
	"bytes"
	"testing"
)

// stream is a header, then frames with payloads of these sizes.
func stream(sizes ...int) (whole []byte, boundaries []int) {
	whole = []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
	boundaries = []int{len(whole)}
	for i, size := range sizes {
		mask := byte(i % 2 << 7) // a server's are not masked; one that does is followed too
		switch {
		case size < 126:
			whole = append(whole, 0x82, mask|byte(size))
		case size < 1<<16:
			whole = append(whole, 0x82, mask|126, byte(size>>8), byte(size))
		default:
			whole = append(whole, 0x82, mask|127, 0, 0, 0, 0, byte(size>>24), byte(size>>16), byte(size>>8), byte(size))
		}
		if mask != 0 {
			whole = append(whole, 1, 2, 3, 4)
		}
		whole = append(whole, bytes.Repeat([]byte("\r\n"), (size+1)/2)[:size]...)
		boundaries = append(boundaries, len(whole))
	}
	return whole, boundaries
}

// However the bytes come, the boundaries are where the frames end.
func FuzzFrames(f *testing.F) {
	f.Add(0, 125, 126, 3)
	f.Add(70000, 65535, 1, 1)
	f.Add(1, 0, 65536, 4096)
	f.Fuzz(func(t *testing.T, a, b, c, step int) {
		whole, want := stream(a&0x1ffff, b&0x1ffff, c&0x1ffff)
		step = max(1, step&0xffff)
		var s frames
		var got []int
		for at := 0; at < len(whole); {
			chunk := whole[at:min(at+step, len(whole))]
			n := s.next(chunk)
			if n < 1 || n > len(chunk) {
				t.Fatalf("went %d of %d", n, len(chunk))
			}
			if at += n; s.boundary() {
				got = append(got, at)
			} else if n < len(chunk) {
				t.Fatal("stopped within a frame")
			}
		}
		if len(got) != len(want) {
			t.Fatalf("boundaries %v, want %v", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("boundaries %v, want %v", got, want)
			}
		}
		if s.closed {
			t.Error("a close frame was seen")
		}
	})
}

// Bytes that are no frames, and lengths no frame has, do no harm.
func FuzzFramesOfAnything(f *testing.F) {
	f.Add([]byte("\r\n\r\n\x88\x02\x03\xe8"))
	f.Add([]byte("\r\n\r\n\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, p []byte) {
		var whole, single frames
		whole.advance(p)
		for i := range p {
			single.advance(p[i : i+1])
		}
		if whole != single {
			t.Errorf("%+v, byte by byte %+v", whole, single)
		}
	})
}
