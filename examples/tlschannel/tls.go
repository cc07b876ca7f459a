package tlschannel

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/cofferhq/coffer/tss"
)

// Pin is the SHA-256 of a node's public TLS key, as it stands in its certificate
// (SubjectPublicKeyInfo, RFC 5280 §4.1). Nodes tell each other's operators their
// pins together with their identity keys.
type Pin [sha256.Size]byte

// String returns the pin in hexadecimal.
func (p Pin) String() string { return hex.EncodeToString(p[:]) }

// NewCertificate makes a TLS key and a certificate for it, signed by itself. Only
// the key counts: nobody looks at the names and dates. The key is a new one, never
// the identity key.
func NewCertificate() (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a TLS key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // none (RFC 5280 §4.1.2.5)
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, nil
}

// PinOf returns the pin that a node's peers need.
func PinOf(c tls.Certificate) (Pin, error) {
	if len(c.Certificate) != 1 || c.PrivateKey == nil {
		return Pin{}, errors.New("it must hold one certificate and its private key")
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return Pin{}, err
	}
	return pinOf(leaf), nil
}

func pinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// tlsConfig is what both ends have in common. authentic judges the peer by its
// connection.
func (c *Channel) tlsConfig(authentic func(tls.ConnectionState) error) *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{c.cfg.Certificate},
		MinVersion:             tls.VersionTLS13,
		CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768},
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
		InsecureSkipVerify:     true, //nolint:gosec // G402: VerifyConnection compares the key with the pin
		VerifyConnection:       authentic,
	}
}

// asServer accepts the keys of all peers.
func (c *Channel) asServer() *tls.Config {
	return c.tlsConfig(func(state tls.ConnectionState) error {
		_, err := c.peerOf(state)
		return err
	})
}

// asClient accepts the key of one peer.
func (c *Channel) asClient(peer Peer) *tls.Config {
	return c.tlsConfig(func(state tls.ConnectionState) error {
		got, err := c.peerOf(state)
		if err == nil && got != peer.Identity {
			err = fmt.Errorf("%w: %s answers in place of %s", ErrPeer, got, peer.Identity)
		}
		return err
	})
}

// peerOf checks the connection itself, whatever was configured, and returns the
// peer that the certificate's key is pinned for.
func (c *Channel) peerOf(state tls.ConnectionState) (tss.IdentityKey, error) {
	switch {
	case state.Version != tls.VersionTLS13:
		return tss.IdentityKey{}, fmt.Errorf("%w: version is %s", ErrTLS, tls.VersionName(state.Version))
	case state.CurveID != tls.X25519MLKEM768:
		return tss.IdentityKey{}, fmt.Errorf("%w: key exchange is %s", ErrTLS, state.CurveID)
	case state.DidResume:
		return tss.IdentityKey{}, fmt.Errorf("%w: it resumes another one", ErrTLS)
	case len(state.PeerCertificates) != 1:
		return tss.IdentityKey{}, fmt.Errorf("%w: %d certificates", ErrTLS, len(state.PeerCertificates))
	}
	pin := pinOf(state.PeerCertificates[0])
	peer, ok := c.byPin[pin]
	if !ok {
		return tss.IdentityKey{}, fmt.Errorf("%w: TLS key %s", ErrPeer, pin)
	}
	return peer, nil
}
