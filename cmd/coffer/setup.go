package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
)

// setup is what people write to make a charter of. Labels name people in this file
// alone: the charter has ids for them.
type setup struct {
	Institutions []custody.Institution     `json:"institutions"`
	Persons      []setupPerson             `json:"persons"`
	Groups       map[custody.Name][]string `json:"groups"` // of labels
	Nodes        []string                  `json:"nodes"`  // .pub files
	Witnesses    struct {
		Quorum int      `json:"quorum"`
		Liars  int      `json:"liars"`
		Others []string `json:"others"` // .pub files of nodes
	} `json:"witnesses"`
	Attestors []struct {
		ID     custody.Name              `json:"id"`
		Key    string                    `json:"key"` // a .pub file, or as of an issuer
		States []custody.AttestationKind `json:"states"`
	} `json:"attestors"`
	Recovery struct {
		Keys      []string `json:"keys"` // .pub files of Ed25519 device keys
		Threshold int      `json:"threshold"`
		Delay     period   `json:"delay"` // 72h if not given
	} `json:"recovery"`
	RelyingParty custody.RelyingParty `json:"relyingParty"`
	Issuers      []struct {
		ID       custody.Name      `json:"id"`
		URL      custody.IssuerURL `json:"url"`
		Audience custody.ClientID  `json:"audience"`
		Keys     []struct {
			ID        custody.KeyID     `json:"id"`
			Algorithm custody.Algorithm `json:"algorithm"`
			PublicKey string            `json:"publicKey"` // PEM, or base64 of PKIX
		} `json:"keys"`
	} `json:"issuers"`
	IntentLife period `json:"intentLife"` // 30d if not given
	Control    string `json:"control"`    // .pub file
	Policy     string `json:"policy"`     // YAML file
}

type setupPerson struct {
	Label       string           `json:"label"`
	Institution custody.Name     `json:"institution"`
	Country     custody.Country  `json:"country"`
	Kind        string           `json:"kind"` // human or service
	Roles       []custody.Name   `json:"roles"`
	Credentials []jsontext.Value `json:"credentials"` // .pub files, or setupCredential
}

type setupCredential struct {
	Kind       string            `json:"kind"` // webauthn or oidc
	Algorithm  custody.Algorithm `json:"algorithm"`
	PublicKey  string            `json:"publicKey"`
	WebAuthnID custody.Blob      `json:"webauthnId"`
	Issuer     custody.Name      `json:"issuer"`
	Subject    string            `json:"subject"` // the pairwise sub; the charter has its SHA-256
}

// ed25519 reads a key from a .pub file, or as publicKey does.
func (m *drafting) ed25519(here jsontext.Pointer, text string) (custody.Blob, error) {
	var pkix custody.Blob
	if strings.HasSuffix(text, ".pub") {
		var device keyfile.DevicePublic
		if err := m.public(here, text, keyfile.DeviceKind, &device); err != nil {
			return nil, err
		}
		pkix = device.PublicKey
	} else {
		var err error
		if pkix, err = publicKey(text); err != nil {
			return nil, m.file.failAt(here, "%v", err)
		}
	}
	key, err := rawEd25519(pkix)
	if err != nil {
		return nil, m.file.failAt(here, "%v", err)
	}
	return key, nil
}

func rawEd25519(pkix []byte) (custody.Blob, error) {
	key, err := x509.ParsePKIXPublicKey(pkix)
	if k, ok := key.(ed25519.PublicKey); err == nil && ok {
		return custody.Blob(k), nil
	}
	return nil, errors.New("not an Ed25519 key")
}

// publicKey reads a public key in PKIX form, as PEM or base64.
func publicKey(text string) (custody.Blob, error) {
	if block, rest := pem.Decode([]byte(text)); block != nil {
		if block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
			return nil, errors.New("not one PUBLIC KEY in PEM")
		}
		return block.Bytes, nil
	}
	var der custody.Blob
	if err := der.UnmarshalText([]byte(text)); err != nil || len(der) == 0 {
		return nil, errors.New("neither PEM nor base64 of a public key (PKIX)")
	}
	return der, nil
}
