package bus

import (
	"fmt"
	"slices"
	"sync"
)

// Memory is a Transport within a process. It is safe for concurrent use.
type Memory struct {
	mu      sync.Mutex
	readers map[string][]*reading
	between func(party string, frame []byte) [][]byte
}

// reading is one subscription.
type reading struct {
	mu     sync.Mutex
	queue  [][]byte
	bytes  int
	closed bool
	wake   chan struct{}
}

// Bounds of what waits for one subscription, of either transport.
const (
	maxPending      = 8192
	maxPendingBytes = 64 << 20
)

// NewMemory returns a transport that loses nothing.
func NewMemory() *Memory { return &Memory{readers: make(map[string][]*reading)} }

// Between makes f see every frame on its way to a party. What f returns is delivered in its
// place, in this order: a test loses, repeats, alters or holds back frames by it, as its seed
// has it. f is called by one goroutine at a time and must not change the frame.
func (m *Memory) Between(f func(party string, frame []byte) [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.between = f
}

// Subscribe implements Transport. Frames wait for f, up to 8192 and 64 MiB.
func (m *Memory) Subscribe(party string, f func(frame []byte)) (stop func(), err error) {
	r := &reading{wake: make(chan struct{}, 1)}
	m.mu.Lock()
	m.readers[party] = append(m.readers[party], r)
	m.mu.Unlock()
	go r.run(f)
	return func() {
		m.mu.Lock()
		m.readers[party] = slices.DeleteFunc(m.readers[party], func(x *reading) bool { return x == r })
		m.mu.Unlock()
		r.mu.Lock()
		r.closed, r.queue = true, nil
		r.mu.Unlock()
		r.signal()
	}, nil
}

// Publish implements Transport.
func (m *Memory) Publish(party string, frame []byte) error {
	if len(frame) > MaxFrame {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrFrame, len(frame), MaxFrame)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	frames := [][]byte{frame}
	if m.between != nil {
		frames = m.between(party, frame)
	}
	for _, r := range m.readers[party] {
		for _, b := range frames {
			r.put(slices.Clone(b))
		}
	}
	return nil
}

func (r *reading) put(b []byte) {
	r.mu.Lock()
	if !r.closed && len(r.queue) < maxPending && r.bytes+len(b) <= maxPendingBytes {
		r.queue = append(r.queue, b)
		r.bytes += len(b)
	}
	r.mu.Unlock()
	r.signal()
}

func (r *reading) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reading) run(f func(frame []byte)) {
	for range r.wake {
		for {
			r.mu.Lock()
			if r.closed {
				r.mu.Unlock()
				return
			}
			if len(r.queue) == 0 {
				r.mu.Unlock()
				break
			}
			b := r.queue[0]
			r.queue[0] = nil
			r.queue = r.queue[1:]
			r.bytes -= len(b)
			r.mu.Unlock()
			f(b)
		}
	}
}
