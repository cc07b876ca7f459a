package config

import (
	"bytes"
	"fmt"
	"os"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
)

// ReadCharter reads a signed charter and refuses it unless it is the one that the
// trust file pins. Whether everybody has signed is for whoever applies it.
func ReadCharter(charter, trust Path) (*custody.CharterRecord, *custody.Charter, error) {
	pinned, err := ReadTrust(trust)
	if err != nil {
		return nil, nil, err
	}
	raw, err := os.ReadFile(string(charter))
	if err != nil {
		return nil, nil, &custody.Error{Code: custody.Invalid, Field: "charter", Message: err.Error()}
	}
	record := new(custody.CharterRecord)
	if err := custody.Decode(bytes.TrimSuffix(raw, []byte{'\n'}), record, custody.MaxEntry); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", charter, err)
	}
	c, err := custody.ParseCharter(record.Charter)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", charter, err)
	}
	if c.Hash() != pinned.Charter {
		return nil, nil, &custody.Error{
			Code: custody.Invalid, Field: "charter",
			Message: fmt.Sprintf("%s has hash %s, the trust file pins %s", charter, c.Hash(), pinned.Charter),
		}
	}
	return record, c, nil
}

// ReadTrust reads a trust file that pins a charter.
func ReadTrust(file Path) (state.Trust, error) {
	raw, err := os.ReadFile(string(file))
	if err != nil {
		return state.Trust{}, &custody.Error{Code: custody.Invalid, Field: "trust", Message: err.Error()}
	}
	t, err := state.ParseTrust(raw)
	if err == nil && t.Charter == (custody.Hash{}) {
		err = &custody.Error{Code: custody.Invalid, Field: "trust", Message: "pins a snapshot, a charter is needed"}
	}
	if err != nil {
		return state.Trust{}, fmt.Errorf("%s: %w", file, err)
	}
	return t, nil
}
