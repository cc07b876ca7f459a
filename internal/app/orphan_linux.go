package app

import (
	"os/exec"
	"syscall"
)

// diesWithParent has the system kill the process when the thread that starts it
// ends, however that comes about.
func diesWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
