//go:build lab

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADryRunShowsThePairAndMakesNothing(t *testing.T) {
	eachHelm(t, func(team *team) {
		for _, command := range [][]string{
			{"template", "web", web},
			{"template", "web", web, "--show-only=templates/pvc.yaml"},
			{"template", "web", web, "--validate"},
			{"template", "db", db},
			{"template", "db", db, "--show-only", "templates/statefulset.yaml"},
			{"install", "db", db, "--dry-run=client"},
			{"install", "db", db, "--dry-run=server"},
			{"install", "db", db, "--dry-run"},
			{"upgrade", "--install", "web", web, "--dry-run=server"},
		} {
			out := team.must(east, team.rendered(append(command, migratable)...)...)
			claim := "data-db-0"
			if strings.Contains(strings.Join(command, " "), web) {
				claim = "web-files"
			}
			for _, want := range []string{"kind: PersistentVolume\n", "volumeHandle: " + team.namespace + "." + claim, "kind: PersistentVolumeClaim"} {
				if !strings.Contains(out, want) {
					team.Errorf("helm %v: %q is not in:\n%s", command, want, out)
				}
			}
			team.unchanged(east, nothing())
		}
	})
}

func TestADryRunOfAnUpgradeChangesNothing(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "db", db, migratable)...)
		team.bound(east, "data-db-0")
		before := team.look(east)
		for _, dry := range []string{"--dry-run", "--dry-run=client", "--dry-run=server"} {
			team.must(east, team.rendered("upgrade", "db", db, migratable, size("2Gi"), replicas("2"), dry)...)
			team.unchanged(east, before)
		}
	})
}

// Both spellings that Helm 3 has for "not dry" are real installs.
func TestAnInstallWithDryRunNoneIsReal(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "web", web, migratable, "--dry-run=none")...)
		team.bound(east, "web-files")
	})
}

// Helm 3 writes the files before it calls the renderer, which gets nothing and says so.
func TestTemplateIntoAFolder(t *testing.T) {
	eachHelm(t, func(team *team) {
		for create, mark := range map[string]string{"client": "volumeHandle: ", "cluster": `storageClassName: ""`} {
			dir := team.TempDir()
			command := []string{"template", "web", web, migratable, "--output-dir", dir,
				"--post-renderer", team.renderer(), "--post-renderer-args=--create=" + create}
			if team.helm == 3 {
				team.refused(east, command, "postrender: read manifests: standard input is empty, because Helm 3 writes the files of --output-dir before it calls the post-renderer: "+
					"the files in \""+dir+"\" have not been post-rendered, so do not apply them; leave out --output-dir, and write the output to a file: helm template ... > manifests.yaml\n")
			} else {
				team.must(east, command...)
			}
			written, err := os.ReadFile(filepath.Join(dir, "web", "templates", "pvc.yaml"))
			if err != nil {
				team.Fatal(err)
			}
			if got, want := strings.Contains(string(written), mark), team.helm == 4; got != want {
				team.Errorf("--create %s: pvc.yaml is rendered: %t, want %t\n%s", create, got, want, written)
			}
		}
		team.unchanged(east, nothing())
	})
}

// A chart that renders nothing is no mistake. Helm 4 refuses it by itself.
func TestAChartThatRendersNothing(t *testing.T) {
	team := newTeam(t, 3)
	chart := team.chart(nil)
	for _, create := range []string{"client", "cluster"} {
		if out := team.must(east, "template", "none", chart, "--post-renderer", team.renderer(), "--post-renderer-args=--create="+create); strings.TrimSpace(out) != "" {
			t.Errorf("--create %s: %q, want nothing", create, out)
		}
	}
}
