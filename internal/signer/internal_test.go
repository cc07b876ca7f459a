package signer_test

import (
	"testing"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state/statetest"
)

// TestC11Internal pays into wallets of the bank, of the same key and of another, at
// addresses that are theirs and at others that the intent claims to be.
func TestC11Internal(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		second, chainCode := p.keygen(custody.BIP340Secp256k1)
		far := statetest.ID[custody.Wallet](p.World)
		p.govern(custody.WalletCreateIntent, &custody.WalletCreate{Wallet: custody.Wallet{ID: far, Vault: p.vault, Network: regtest, Key: second.ID, Path: 8}})
		there := chain.Account{Network: regtest, Scheme: second.Scheme, PublicKey: second.PublicKey, ChainCode: chainCode, Path: 8}
		mine := there // of a chain code that the control plane made up
		mine.ChainCode[0] ^= 1
		cold := p.account(p.cold)
		for _, c := range []struct {
			name      string
			wallet    custody.ID[custody.Wallet]
			address   custody.Address
			chainCode custody.Hash
			field     string // empty: signed
			says      string
		}{
			{name: "same key", wallet: p.cold, address: p.own(cold, 4)},
			{name: "same key, another chain code is given", wallet: p.cold, address: p.own(cold, 4), chainCode: chainCode},
			{name: "same key, a stranger's address", wallet: p.cold, address: thief(t), field: "destination", says: "has address " + string(p.own(cold, 4))},
			{name: "same key, another wallet's address", wallet: p.cold, address: p.own(p.account(p.hot), 4), field: "destination", says: "m/1/0/4"},
			{name: "same key, another index", wallet: p.cold, address: p.own(cold, 5), field: "destination", says: "m/1/0/4"},
			{name: "same key, an address of the chain code given", wallet: p.cold, address: p.own(p.of(cold, mine.ChainCode), 4), chainCode: mine.ChainCode, field: "destination"},
			{name: "another key", wallet: far, address: p.own(there, 4), chainCode: chainCode},
			{name: "another key, a stranger's address", wallet: far, address: thief(t), chainCode: chainCode, field: "destination", says: "m/8/0/4"},
			{name: "another key, no chain code", wallet: far, address: p.own(there, 4), field: "recipient", says: "attestation"},
			{name: "another key, a chain code that fits the address alone", wallet: far, address: p.own(mine, 4), chainCode: mine.ChainCode, field: "recipient", says: "attestation"},
			{name: "another key, this key's chain code", wallet: far, address: p.own(p.of(there, p.chainCode), 4), chainCode: p.chainCode, field: "recipient", says: "attestation"},
		} {
			in := p.submit(custody.Recipient{Kind: custody.OwnWallet, Address: c.address, Wallet: c.wallet, Index: 4}, 30_000_000)
			details := p.build(in, nil)
			r := p.Must(p.prepare(in, details))
			p.sync()
			m := p.invitation(in, r.Leaf, details)
			m.Recipient = c.chainCode
			if c.field != "" {
				p.refused(c.name, m, c.field, c.says)
				continue
			}
			p.assemble(details, p.inviteToSign(each(m)))
		}
	})
}

// of is an account with another chain code.
func (p *plane) of(a chain.Account, chainCode custody.Hash) chain.Account {
	a.ChainCode = chainCode
	return a
}
