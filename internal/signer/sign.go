package signer

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/wire"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/frost"
)

// sign takes part in signing the transaction of a PREPARED entry. Nothing that
// depends on the key leaves this node before all of check has passed.
func (n *Node) sign(ctx context.Context, body []byte) (any, error) {
	var m wire.Sign
	if err := wire.Decode(body, &m); err != nil {
		return nil, err
	}
	if err := n.open(m.Expires); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Unix(m.Expires, 0).Sub(n.cfg.Now()))
	defer cancel()
	n.cfg.Log.Info("asked to sign", "intent", m.Intent, "prepared", m.Prepared, "signers", m.Signers, "sha256", custody.Hash(sha256.Sum256(m.Details)))
	job, err := n.check(ctx, &m)
	if err != nil {
		return nil, err
	}
	defer job.share.Clear()
	ctx, end := n.whileAllowed(ctx, &m, job)
	defer end()
	signatures, err := n.run(ctx, job, &m)
	if err != nil {
		return wire.SignDone{Failed: n.failure(m.Intent, err)}, nil
	}
	messages := make([]custody.Hash, len(job.effects.Messages))
	for i, message := range job.effects.Messages {
		messages[i] = sha256.Sum256(message.Bytes)
	}
	sum := custody.ReceiptHash(n.charter, m.Prepared, messages)
	receipt, err := n.cfg.Keys.Identity.Sign(sum[:])
	if err != nil {
		return nil, err
	}
	n.cfg.Log.Info("signed", "intent", m.Intent, "entry", job.order.Prepared.Index, "head", job.head.Size, "rule", job.order.Rule,
		"does", job.effects.String(), "signatures", len(signatures))
	return wire.SignDone{Signatures: signatures, Receipt: receipt}, nil
}

// job is an invitation that this node has accepted.
type job struct {
	order   *state.Signable
	head    journal.Head // that it is under
	effects *chain.Effects
	share   *tss.KeyShare
	signers []uint16 // ids, ascending
}

// check decides whether to sign: by the state that this node derived itself, under a
// fresh head that a quorum cosigned, and by what the transaction's bytes do.
func (n *Node) check(ctx context.Context, m *wire.Sign) (*job, error) {
	order, err := n.maySign(m)
	if err != nil {
		return nil, err
	}
	head, err := n.covered(ctx, order.Prepared.Index)
	if err != nil {
		return nil, err
	}
	// While it waited for the head, more may have been appended.
	if order, err = n.maySign(m); err != nil {
		return nil, err
	}
	share, err := n.cfg.Store.Share(order.Key.PublicKey)
	if err != nil {
		return nil, refuse("key", "this node holds no share of key %s: %v", order.Key.ID, err)
	}
	j := &job{order: order, head: head, share: share}
	if j.signers, err = n.chosen(order, m.Signers); err == nil {
		j.effects, err = decode(order, m, custody.Hash(share.ChainCode))
	}
	if err != nil {
		share.Clear()
		return nil, err
	}
	return j, nil
}

func (n *Node) maySign(m *wire.Sign) (*state.Signable, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state.MaySign(m.Intent, m.Prepared, custody.At(n.cfg.Now()))
}

// whileAllowed bounds a session by what it was accepted on: it ends when the head that
// it is under is too old, and when an entry comes after which the transaction may no
// longer be signed.
func (n *Node) whileAllowed(ctx context.Context, m *wire.Sign, j *job) (context.Context, func()) {
	ctx, stale := context.WithTimeout(ctx, j.head.CurrentTime.Add(maxHeadAge).Sub(n.cfg.Now()))
	ctx, cancel := context.WithCancelCause(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.signing[m] = cancel
	n.reconsider()
	return ctx, func() {
		n.mu.Lock()
		delete(n.signing, m)
		n.mu.Unlock()
		cancel(nil)
		stale()
	}
}

// reconsider ends the sessions whose transaction may no longer be signed. The caller
// holds mu.
func (n *Node) reconsider() {
	for m, end := range n.signing {
		if _, err := n.state.MaySign(m.Intent, m.Prepared, custody.At(n.cfg.Now())); err != nil {
			end(err)
		}
	}
}

// chosen returns the ids of the signers named, if they are distinct members of the
// key's set, this node among them, and enough.
func (n *Node) chosen(order *state.Signable, signers []custody.Name) ([]uint16, error) {
	if !slices.Contains(signers, n.name) {
		return nil, refuse("signers", "this node is not among them")
	}
	var ids []uint16
	next := uint16(1)
	named := 0
	for _, member := range order.Key.Set.Members {
		in := slices.Contains(signers, member.Node)
		if in {
			named++
		}
		for range member.IDs {
			if in {
				ids = append(ids, next)
			}
			next++
		}
	}
	if named != len(signers) {
		return nil, refuse("signers", "one is named twice or is not in the key's set")
	}
	if len(ids) < order.Key.Set.Threshold {
		return nil, refuse("signers", "%d ids, the key needs %d", len(ids), order.Key.Set.Threshold)
	}
	return ids, nil
}

// decode finds out what the transaction does, from its bytes alone, and refuses it
// unless that is exactly what stands in PREPARED and what the intent says.
func decode(order *state.Signable, m *wire.Sign, chainCode custody.Hash) (*chain.Effects, error) {
	transfer, ok := order.Intent.Body.(*custody.Transfer)
	if !ok || order.Prepared.By != order.Intent.ID {
		return nil, refuse("intent", "this node signs no %s yet, and no repairs", order.Intent.Type)
	}
	family, err := chains.For(order.Wallet.Network)
	if err != nil {
		return nil, refuse("network", "%v", err)
	}
	account := chain.AccountOf(&order.Wallet, &order.Key, chainCode)
	effects, err := family.Decode(account, m.Details)
	if err != nil {
		return nil, refuse("transaction", "%v", err)
	}
	prepared := custody.Prepared{Transaction: order.Prepared.Transaction, Claims: order.Prepared.Claims, Fee: order.Prepared.Fee}
	err = effects.Check(transfer)
	if err == nil {
		err = effects.CheckPrepared(&prepared)
	}
	if m, ok := errors.AsType[*chain.Mismatch](err); ok {
		return nil, refuse(m.What, "the transaction %s, %s", m.Have, m.Wanted)
	}
	if err := ownAddress(order, transfer, m.Recipient, chainCode); err != nil {
		return nil, err
	}
	return effects, nil
}

// ownAddress refuses an INTERNAL transfer to an address that isn't the wallet's: the
// intent says both, and policy believed the wallet.
func ownAddress(order *state.Signable, transfer *custody.Transfer, given, own custody.Hash) error {
	if order.Recipient == nil {
		return nil
	}
	chainCode := given
	if order.RecipientKey.ID == order.Key.ID {
		chainCode = own
	}
	if chain.Commitment(chainCode) != order.RecipientKey.ChainCode {
		return refuse("recipient", "not the chain code that the attestation of the recipient's key commits to")
	}
	family, err := chains.For(order.Recipient.Network)
	if err != nil {
		return refuse("network", "%v", err)
	}
	address, err := family.Address(chain.AccountOf(order.Recipient, order.RecipientKey, chainCode), 0, transfer.Destination.Index)
	if err != nil {
		return refuse("destination", "%v", err)
	}
	if address != transfer.Destination.Address {
		return refuse("destination", "wallet %s has address %s at m/%d/0/%d, the intent says %s",
			order.Recipient.ID, address, order.Recipient.Path, transfer.Destination.Index, transfer.Destination.Address)
	}
	return nil
}

// parallel is how many sessions of one transaction run at once.
const parallel = 16

// How long a node gives the sessions of a transaction, whatever the invitation says:
// it may expire later, for clocks that differ.
const (
	runTime   = 15 * time.Second
	inputTime = 50 * time.Millisecond // more for each signature
)

// run signs every message of the transaction, each in a session of its own.
func (n *Node) run(ctx context.Context, j *job, m *wire.Sign) ([]custody.Blob, error) {
	ctx, cancel := context.WithTimeout(ctx, runTime+time.Duration(len(j.effects.Messages))*inputTime)
	defer cancel()
	signatures := make([]custody.Blob, len(j.effects.Messages))
	var (
		work  sync.WaitGroup
		once  sync.Once
		first error
		free  = make(chan struct{}, parallel)
	)
	for i, message := range j.effects.Messages {
		free <- struct{}{} // in the order of the messages, so that all nodes run the same sessions
		work.Go(func() {
			defer func() { <-free }()
			signature, err := n.signOne(ctx, j, m, i, message)
			if err != nil {
				once.Do(func() { first = err; cancel() })
				return
			}
			signatures[i] = signature
		})
	}
	work.Wait()
	return signatures, first
}

func (n *Node) signOne(ctx context.Context, j *job, m *wire.Sign, i int, message chain.Message) ([]byte, error) {
	request := frost.Request{Message: message.Bytes, Path: message.Path}
	if message.Taproot {
		request.Taproot = new(frost.Taproot)
	}
	key := &j.share.Key
	session, err := n.tss.Join(ctx, &tss.Proposal{
		Protocol: tss.ProtocolFROST, Suite: key.Suite, KeyID: key.ID, Epoch: key.Epoch, Source: key.T,
		Threshold: key.Threshold, Parties: key.Parties, Signers: j.signers, Request: request.Digest(key.Suite),
		Expiry: m.Expires, Initiator: coordinator, Nonce: nonceOf(m.Nonce, i),
	}, j.share)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	return frost.Sign(ctx, session, request)
}
