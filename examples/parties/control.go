package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/cofferhq/coffer/examples/tlschannel"
	"github.com/cofferhq/coffer/tss"
)

// command is what the coordinator tells a party: one line of JSON.
type command struct {
	Do       string        `json:"do"`                 // doMeet, doKeygen or doSign
	ID       uint16        `json:"id,omitempty"`       // doMeet: the party's own
	Roster   []contact     `json:"roster,omitempty"`   // doMeet: all parties
	Proposal []byte        `json:"proposal,omitempty"` // doKeygen, doSign
	Message  string        `json:"message,omitempty"`  // doSign
	Wait     time.Duration `json:"wait,omitempty"`     // doKeygen, doSign: for the others
}

// What parties do.
const (
	doMeet   = "meet"
	doKeygen = "keygen"
	doSign   = "sign"
)

// contact is what everybody may know of a party.
type contact struct {
	ID       uint16          `json:"id"`
	Identity tss.IdentityKey `json:"identity"`
	Pin      tlschannel.Pin  `json:"pin"`
	Address  string          `json:"address"`
}

// answer is what a party says to a command, and first of all when it starts: one
// line of JSON. Nothing in it is secret.
type answer struct {
	Error       string     `json:"error,omitempty"`
	Absent      []uint16   `json:"absent,omitempty"`      // whom the party waited for in vain
	Contact     *contact   `json:"contact,omitempty"`     // at the start
	PublicShare []byte     `json:"publicShare,omitempty"` // doKeygen
	Sealed      []byte     `json:"sealed,omitempty"`      // doKeygen: SHA-256 of the sealed share
	Certificate []byte     `json:"certificate,omitempty"` // doKeygen
	Signature   []byte     `json:"signature,omitempty"`   // doSign
	Sent        []sentBody `json:"sent,omitempty"`        // doKeygen, doSign
}

// sentBody is what a party sent in one round.
type sentBody struct {
	Round int      `json:"round"` // 0 is the join
	To    []uint16 `json:"to"`
	Bytes int      `json:"bytes"` // to each of them: header, body, signature
}

// maxLine bounds a line of JSON.
const maxLine = 1 << 20

// child is a party as the coordinator sees it: a process and two pipes.
type child struct {
	contact
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// start starts a party and waits for its first words. A party that panics does it
// on this program's standard error.
func start(cmd *exec.Cmd, id uint16) (*child, error) {
	diesWithParent(cmd)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start party %d: %w", id, err)
	}
	c := &child{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	c.out.Buffer(nil, maxLine)
	a, err := c.listen()
	if err == nil && a.Contact == nil {
		err = errors.New("it didn't introduce itself")
	}
	if err != nil {
		c.kill()
		return nil, fmt.Errorf("start party %d: %w", id, err)
	}
	c.contact = *a.Contact
	c.ID = id
	return c, nil
}

// ask gives the party a command and waits for the answer. A party's own error is
// in the answer.
func (c *child) ask(do command) (*answer, error) {
	line, err := json.Marshal(do)
	if err != nil {
		return nil, err
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("tell party %d: %w", c.ID, err)
	}
	a, err := c.listen()
	if err != nil {
		return nil, fmt.Errorf("party %d: %w", c.ID, err)
	}
	return a, nil
}

func (c *child) listen() (*answer, error) {
	if !c.out.Scan() {
		if err := c.out.Err(); err != nil {
			return nil, err
		}
		return nil, errors.New("it has ended")
	}
	a := &answer{}
	if err := json.Unmarshal(c.out.Bytes(), a); err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	return a, nil
}

// kill ends the process by SIGKILL, which it can't notice, and returns how it
// ended.
func (c *child) kill() string {
	_ = c.cmd.Process.Kill() // it may have ended before
	_ = c.cmd.Wait()         // how it ended is in its state
	return c.cmd.ProcessState.String()
}

// dismiss lets the process end by itself.
func (c *child) dismiss() error {
	return errors.Join(c.in.Close(), c.cmd.Wait())
}

// serve is the life of a party: it introduces itself, then obeys what comes in
// until that ends.
func serve(in io.Reader, out io.Writer) error {
	p, err := newParty(context.Background())
	if err != nil {
		return err
	}
	defer p.close()
	enc := json.NewEncoder(out)
	if err := enc.Encode(answer{Contact: &p.contact}); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return fmt.Errorf("read command: %w", err)
		}
		if err := enc.Encode(p.obey(c)); err != nil {
			return err
		}
	}
	return lines.Err()
}
