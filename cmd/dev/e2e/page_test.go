package e2e

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// A person chats on the page: an answer grows, another is stopped, a call is approved and another denied. The steps are in the program.
func TestAPersonChatsOnThePage(t *testing.T) {
	t.Parallel()
	const folder = "../../../web/page"
	_, err := os.Stat(folder + "/node_modules/playwright-core")
	require.NoError(t, err, "the packages are missing: run just page")
	browser := exec.Command("node", "test/browser/chat.mjs", shared.Server)
	browser.Dir = folder
	p := startCommand(t, browser)
	code := p.ends(t)
	require.Zero(t, code, p.out)
	require.Equal(t, "done\n", p.out.String())
}
