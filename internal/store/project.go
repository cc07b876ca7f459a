package store

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
)

// record writes an entry and the hashes that it adds to the tree.
func (t *Tx) record(e *custody.Entry, leaf custody.Hash, hashes []journal.Hash) error {
	if err := t.change(`INSERT INTO entries (idx, time, type, leaf, raw) VALUES ($1, $2, $3, $4, $5)`,
		e.Index, e.Time, e.Type, leaf.String(), e.Raw); err != nil {
		return err
	}
	at := tlog.StoredHashIndex(0, e.Index)
	for i, hash := range hashes {
		if err := t.change(`INSERT INTO hashes (idx, hash) VALUES ($1, $2)`, at+int64(i), hash[:]); err != nil {
			return err
		}
	}
	return nil
}

// project writes what an entry means for intents, work and transactions.
func (t *Tx) project(e *custody.Entry) error {
	of, open := custody.ID[custody.Intent]{}, false
	switch body := e.Body.(type) {
	case *custody.IntentRecord:
		of = body.Intent.ID
		if err := t.addIntent(body.Intent, e.Index); err != nil {
			return err
		}
	case *custody.EvidenceRecord:
		of = body.Intent
	case *custody.Authorized:
		// What governs can change what every other intent waits for.
		governs, err := t.governs(body.Intent)
		if err != nil {
			return err
		}
		of, open = body.Intent, governs
	case *custody.KeyRecord:
		of, open = body.Intent, true
	case *custody.Cosigned:
		of = body.Intent
	case *custody.Prepared:
		of = body.Intent
		if body.By != of {
			if err := t.addToHistory(body.By, e.Index); err != nil {
				return err
			}
		}
		if err := t.replace(of); err != nil {
			return err
		}
	case *custody.SignedRecord:
		of = body.Intent
		if err := t.moveTransaction(body.Prepared, custody.TxSeal); err != nil {
			return err
		}
	case *custody.Observed:
		of = body.Intent
		if err := t.observe(body, e.Time); err != nil {
			return err
		}
	default: // CHARTER
	}
	if of == (custody.ID[custody.Intent]{}) {
		return nil
	}
	if err := t.addToHistory(of, e.Index); err != nil {
		return err
	}
	if err := t.touch(of); err != nil {
		return err
	}
	if open {
		return t.refreshOpen()
	}
	return nil
}

// PutList keeps the bytes of a list, before the LIST_CHANGE that pins it is
// authorized. The error is of code Invalid for a list without form.
func (t *Tx) PutList(list []byte) error {
	if err := t.store.state.Offer(list); err != nil {
		return err
	}
	hash := custody.Hash(sha256.Sum256(list))
	return t.change(`INSERT INTO lists (hash, raw) VALUES ($1, $2) ON CONFLICT DO NOTHING`, hash.String(), list)
}

// hasList refuses to pin a list that nobody brought: the journal could not be read
// on behind it.
func (t *Tx) hasList(id custody.ID[custody.Intent]) error {
	found, err := rows(t.ctx, t.tx, only[[]byte],
		`SELECT bytes FROM intents WHERE id = $1 AND type = $2`, id.String(), custody.ListChangeIntent)
	if err != nil || len(found) == 0 {
		return err
	}
	in, err := custody.ParseIntent(found[0])
	if err != nil {
		return err
	}
	change, ok := in.Body.(*custody.ListChange)
	if !ok || change.Action != custody.Put {
		return nil
	}
	raw, err := row(t.ctx, t.tx, "list", only[[]byte],
		`SELECT raw FROM lists WHERE hash = $1`, change.SHA256.String())
	if err != nil {
		return err
	}
	list, err := custody.ParseList(raw)
	if err != nil {
		return err
	}
	if list.Name != change.List {
		return invalid("list", "the list pinned by this hash has another name")
	}
	return nil
}
