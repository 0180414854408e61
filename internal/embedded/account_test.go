package embedded

import (
	"os"
	"os/user"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServerNeverRunsAsRoot(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{})
	info, err := os.Stat(s.data.path)
	require.NoError(t, err)
	owner := info.Sys().(*syscall.Stat_t).Uid
	require.NotZero(t, owner)
	if os.Geteuid() != 0 {
		require.Equal(t, os.Geteuid(), int(owner))
	}
}

func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func TestDataThatTheServersUserCannotAccessIsRefused(t *testing.T) {
	t.Parallel()
	asRoot(t)
	closed := filepath.Join(folder(t), "closed")
	require.NoError(t, os.Mkdir(closed, 0o700))
	_, err := Start(t.Context(), Config{Data: filepath.Join(closed, "data")})
	require.ErrorContains(t, err, "who cannot enter "+closed)
	require.NoDirExists(t, filepath.Join(closed, "data"))
}

func TestProgramsThatTheServersUserCannotRunAreRefused(t *testing.T) {
	t.Parallel()
	asRoot(t)
	root := folder(t)
	bin := installation(t, root, "closed", "15.1")
	require.NoError(t, os.Chmod(filepath.Join(root, "closed"), 0o700))
	_, err := Start(t.Context(), Config{Bin: bin})
	require.ErrorContains(t, err, "who cannot run it")
	require.ErrorContains(t, err, filepath.Join(bin, "postgres"))
}

func TestRootRunsTheServerAsTheOwnerOfItsData(t *testing.T) {
	t.Parallel()
	asRoot(t)
	const nobody = "nobody"
	data := filepath.Join(folder(t), "data")
	s, err := Start(t.Context(), Config{Data: data})
	require.NoError(t, err)
	require.NoError(t, s.Stop())
	u, err := user.Lookup(nobody)
	require.NoError(t, err)
	owner, err := newAccount(u)
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(data, func(path string, _ os.DirEntry, err error) error {
		require.NoError(t, err)
		return owner.own(path)
	}))
	s = begin(t, Config{Data: data})
	require.Equal(t, nobody, s.account.name)
}

func TestCacheOfRootIsOpenToTheServersUser(t *testing.T) {
	t.Parallel()
	who := self(t)
	root := folder(t)
	where := search{cache: filepath.Join(root, "a", "b")}
	cache, err := where.cacheFor(t.Context(), who)
	require.NoError(t, err)
	require.True(t, who.may(t.Context(), "-x", cache))
	if !who.other() {
		return
	}
	closed := filepath.Join(root, "closed")
	require.NoError(t, os.Mkdir(closed, 0o700))
	require.False(t, reachable(t.Context(), who, filepath.Join(closed, "c", "d")))
	_, err = search{cache: filepath.Join(closed, "c")}.cacheFor(t.Context(), who)
	require.ErrorContains(t, err, who.name)
}
