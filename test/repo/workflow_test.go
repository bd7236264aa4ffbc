package repo

import (
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflow is what these tests look at of a workflow's file.
type workflow struct {
	Env  map[string]string
	Jobs map[string]struct {
		Needs       any // one name, or a list
		Permissions map[string]string
		Env         map[string]string
		Steps       []workflowStep
	}
}

type workflowStep struct {
	Uses, Run string
	With, Env map[string]any
}

func workflowOf(t *testing.T, path string) workflow {
	t.Helper()
	var w workflow
	if err := yaml.Unmarshal([]byte(read(t, path)), &w); err != nil || len(w.Jobs) == 0 {
		t.Fatalf("%s: %v, %d jobs", path, err, len(w.Jobs))
	}
	return w
}

const releaseWorkflow = ".github/workflows/release.yaml"

// TestReleaseWorkflowLooksAtTheTagFirst: a version that is published is used up, so no job may
// write before the commit is known to be of it.
func TestReleaseWorkflowLooksAtTheTagFirst(t *testing.T) {
	w := workflowOf(t, releaseWorkflow)
	if first := w.Jobs["tagged"]; first.Needs != nil || !slices.ContainsFunc(first.Steps, func(s workflowStep) bool {
		return strings.HasPrefix(s.Run, "make release-tagged ")
	}) {
		t.Errorf("the job tagged is %+v", first)
	}
	for name, job := range w.Jobs {
		var needs []any
		switch n := job.Needs.(type) {
		case string:
			needs = []any{n}
		case []any:
			needs = n
		}
		if name != "tagged" && !slices.Contains(needs, any("tagged")) {
			t.Errorf("the job %s needs %v", name, needs)
		}
		for permission, access := range job.Permissions {
			if name == "tagged" && access == "write" {
				t.Errorf("the job tagged may write %s", permission)
			}
		}
	}
}
