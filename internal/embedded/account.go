package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that the server runs as. Its zero value is the user of this process.
type account struct {
	name     string // empty for the user of this process
	uid, gid uint32
}

// chooseAccount returns the user to run the server on the data directory, which may be empty or missing.
func chooseAccount(data string) (account, error) {
	owner, owned := ownerOf(data)
	if os.Geteuid() != 0 {
		if owned && int(owner) != os.Geteuid() {
			return account{}, fmt.Errorf("the data directory %s belongs to another user (%d)", data, owner)
		}
		return account{}, nil
	}
	if owned && owner != 0 {
		u, err := user.LookupId(strconv.FormatUint(uint64(owner), 10))
		if err != nil {
			return account{}, fmt.Errorf("the owner of the data directory %s: %w", data, err)
		}
		return newAccount(u)
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return newAccount(u)
		}
	}
	return account{}, errors.New("PostgreSQL refuses to run as root, and this machine has neither a user postgres nor nobody")
}

// ownerOf returns the owner of an initialised data directory.
func ownerOf(data string) (uid uint32, ok bool) {
	if data == "" {
		return 0, false
	}
	info, err := os.Stat(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return stat.Uid, true
}

func newAccount(u *user.User) (account, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("the user %s has the id %q", u.Username, u.Uid)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("the user %s has the group %q", u.Username, u.Gid)
	}
	return account{name: u.Username, uid: uint32(uid), gid: uint32(gid)}, nil
}

// other reports whether this is not the user of this process.
func (a account) other() bool { return a.name != "" }

// command is exec.CommandContext as this user, in a folder that everyone can enter.
func (a account) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = a.attributes()
	return cmd
}

func (a account) attributes() *syscall.SysProcAttr {
	if !a.other() {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
}

// may reports whether test(1) with the operator, such as -x, succeeds on the path for this user. The mode bits alone are not
// enough: parent folders, access lists and mounts matter too.
func (a account) may(ctx context.Context, operator, path string) bool {
	return a.command(ctx, "/bin/sh", "-c", `test "$1" "$2"`, "sh", operator, path).Run() == nil
}

// own gives a file to this user.
func (a account) own(path string) error {
	if !a.other() {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// openToAll lets everyone read the folder and what is in it, whatever the umask was.
func openToAll(folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if entry.IsDir() || mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}
