//go:build !linux

package regtest

import "os/exec"

// diesWithParent does nothing here: a node ends with [Node.Close] alone.
func diesWithParent(*exec.Cmd) {}
