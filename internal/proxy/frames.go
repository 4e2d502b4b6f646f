package proxy

import "encoding/binary"

// frames follows what goes to the client of a WebSocket, after the header of the
// 101, from one frame to the next (RFC 6455, section 5.2). It reads the headers
// of frames and nothing else.
type frames struct {
	ended  int      // bytes seen of the empty line that ends the answer's header
	header [14]byte // of the frame that begins
	have   int      // bytes of it
	left   uint64   // bytes of the frame's payload to come
	closed bool     // a close frame has begun
}

const emptyLine = "\r\n\r\n"

// opcodeClose is the low half of a close frame's first byte.
const opcodeClose = 0x8

// boundary reports whether another frame can begin here. Between two fragments of
// a message a control frame can.
func (f *frames) boundary() bool {
	return f.ended == len(emptyLine) && f.have == 0 && f.left == 0
}

// next goes through p up to the next boundary, or to its end, and returns how far
// it went.
func (f *frames) next(p []byte) (n int) {
	for n < len(p) {
		switch {
		case f.ended < len(emptyLine):
			f.match(p[n])
			n++
		case f.left > 0:
			step := min(f.left, uint64(len(p)-n))
			f.left -= step
			n += int(step)
		default:
			f.header[f.have] = p[n]
			f.have++
			n++
			f.begin()
		}
		if f.boundary() {
			break
		}
	}
	return n
}

// advance goes through all of p.
func (f *frames) advance(p []byte) {
	for len(p) > 0 {
		p = p[f.next(p):]
	}
}

// match looks for the end of the answer's header.
func (f *frames) match(c byte) {
	switch {
	case c == emptyLine[f.ended]:
		f.ended++
	case c == emptyLine[0]:
		f.ended = 1
	default:
		f.ended = 0
	}
}

// begin reads the frame's header once it is whole.
func (f *frames) begin() {
	if f.have < 2 {
		return
	}
	size, length := 2, uint64(f.header[1]&0x7f)
	switch length {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	masked := f.header[1]&0x80 != 0
	if masked {
		size += 4
	}
	if f.have < size {
		return
	}
	switch length {
	case 126:
		length = uint64(binary.BigEndian.Uint16(f.header[2:]))
	case 127:
		length = binary.BigEndian.Uint64(f.header[2:])
	}
	f.closed = f.closed || f.header[0]&0xf == opcodeClose
	f.have, f.left = 0, length
}

// The close codes the gateway sends (RFC 6455, section 7.4.1).
const (
	codeGoingAway = 1001 // the gateway ends
	codePolicy    = 1008 // the token has expired
)

// closeFrame is a server's close frame (RFC 6455, section 5.5.1); reason is at
// most 123 bytes.
func closeFrame(code uint16, reason string) []byte {
	frame := []byte{0x80 | opcodeClose, byte(2 + len(reason))}
	return append(binary.BigEndian.AppendUint16(frame, code), reason...)
}
