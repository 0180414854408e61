package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheExamplesOfProgressRunAsTheyAre runs each example as its documentation says, and reads what it prints.
func TestTheExamplesOfProgressRunAsTheyAre(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	loaves := []string{"0 % baking loaf 1 of 4", "25 % baking loaf 2 of 4", "50 % baking loaf 3 of 4", "75 % baking loaf 4 of 4", "100 % completed"}
	for name, c := range map[string]struct {
		flags   []string
		printed []string
	}{
		"feed":        {[]string{"-feed", shared.Server}, loaves},
		"update":      {nil, loaves},
		"hybrid":      {nil, loaves},
		"push":        {[]string{"-database-url", shared.DatabaseURL}, []string{loaves[0], "100 % completed"}},
		"interceptor": {[]string{"-feed", shared.Server}, []string{"0 % running", "0 % failed The oven is cold."}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(folder, name)
			out, err := exec.Command("go", "build", "-o", program, "chatfeed/examples/"+name).CombinedOutput()
			require.NoError(t, err, "%s", out)
			cmd := exec.Command(program, c.flags...)
			cmd.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+shared.Temporal)
			p := startCommand(t, cmd)
			require.Zero(t, p.ends(t), p.out)
			printed := regexp.MustCompile(`(?m)\d+ % .*\S`).FindAllString(p.out.String(), -1)
			if name == "push" { // what is between depends on the pace
				require.Subset(t, loaves, printed)
				require.Subset(t, printed, c.printed)
				require.Less(t, len(printed), len(loaves))
				return
			}
			require.Equal(t, c.printed, printed)
		})
	}
}
