package frost

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/hash"
)

// Stock is the coordinator's side: the public halves that signers sent. It may be
// used by several goroutines.
type Stock struct {
	key *tss.Key

	mu   sync.Mutex
	free map[uint16][]stored
	seen map[string]bool // owner and batch
}

type stored struct {
	name   NonceID
	public []byte // D || E
}

// NewStock starts an empty stock for a key.
func NewStock(k *tss.Key) *Stock {
	return &Stock{key: k, free: make(map[uint16][]stored), seen: make(map[string]bool)}
}

// Add takes a batch in, after checking its signature and every point.
func (s *Stock) Add(e tss.Envelope) error {
	suite := suiteOf(s.key.Suite)
	size := len(NonceID{}) + 2*suite.group.PointSize()
	body, err := s.key.OpenFor(e, tss.ProtocolFROST, 1, batchTopic(s.key, e.From))
	if err != nil {
		return fmt.Errorf("%w: batch: %w", ErrRequest, err)
	}
	if len(body) < 4 {
		return fmt.Errorf("%w: batch is cut short", ErrRequest)
	}
	batch := binary.BigEndian.Uint32(body)
	body = body[4:]
	ids := s.key.Parties.Owned(e.From)
	if n := len(ids); len(body) == 0 || len(body)%(n*size) != 0 || len(body) > n*size*MaxBatch {
		return fmt.Errorf("%w: batch has a wrong length", ErrRequest)
	}
	each := len(body) / size / len(ids)
	add := make(map[uint16][]stored, len(ids))
	for i := range len(body) / size {
		entry, id := body[i*size:(i+1)*size], ids[i/each]
		if NonceID(entry[:len(NonceID{})]) != nonceID(s.key.Epoch, batch, i) {
			return fmt.Errorf("%w: batch: nonces aren't named in order", ErrRequest)
		}
		if _, err := suite.decodeCommitments(nil, []uint16{id}, entry[len(NonceID{}):]); err != nil {
			return fmt.Errorf("%w: batch: %w", ErrRequest, err)
		}
		add[id] = append(add[id], stored{NonceID(entry[:len(NonceID{})]), entry[len(NonceID{}):]})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	mark := string(e.From[:]) + string(hash.U32(batch))
	if s.seen[mark] {
		return fmt.Errorf("%w: batch was added before", ErrRequest)
	}
	s.seen[mark] = true
	for id, entries := range add {
		s.free[id] = append(s.free[id], entries...)
	}
	return nil
}

// Request signs an order to sign r by the given ids, ascending, with the oldest
// stored nonce of each, which the stock then forgets.
func (s *Stock) Request(c *tss.Identity, number uint16, signers []uint16, r Request, random io.Reader) (SignedRequest, error) {
	if err := r.validate(s.key.Suite); err != nil {
		return SignedRequest{}, err
	}
	q := onlineRequest{
		suite: s.key.Suite, keyID: s.key.ID, epoch: s.key.Epoch, t: s.key.T, request: r,
		digest: r.Digest(s.key.Suite), coordinator: number,
	}
	if _, err := io.ReadFull(random, q.nonce[:]); err != nil {
		return SignedRequest{}, fmt.Errorf("frost: read randomness: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, id := range signers {
		owner, ok := s.key.Parties.Owner(id)
		if !ok || i > 0 && signers[i-1] >= id {
			return SignedRequest{}, fmt.Errorf("%w: signers are ids of the key, ascending", ErrRequest)
		}
		if len(s.free[id]) == 0 {
			return SignedRequest{}, fmt.Errorf("%w: no stored nonce is left of id %d", ErrRequest, id)
		}
		q.signers = append(q.signers, tss.Party{ID: id, Owner: owner})
		q.names = append(q.names, s.free[id][0].name)
		q.b = append(suiteOf(s.key.Suite).group.Uint(uint64(id)).AppendBytes(q.b), s.free[id][0].public...)
	}
	if len(signers) < s.key.Threshold {
		return SignedRequest{}, fmt.Errorf("%w: signers: %d, fewer than the threshold of %d", ErrRequest, len(signers), s.key.Threshold)
	}
	for _, id := range signers {
		s.free[id] = s.free[id][1:]
	}
	b := q.bytes()
	return SignedRequest{Q: b, Signature: c.SignRequest(b)}, nil
}

// Left returns how many stored nonces of an id are left.
func (s *Stock) Left(id uint16) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.free[id])
}
