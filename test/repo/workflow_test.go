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

// TestCredentialsAreOfTheStepsThatPublish: what is built is other people's code, and some of it
// runs while it is installed.
func TestCredentialsAreOfTheStepsThatPublish(t *testing.T) {
	w := workflowOf(t, releaseWorkflow)
	publishes := func(s workflowStep) bool {
		return slices.ContainsFunc([]string{"image-push", "image-index", "release-publish"}, func(target string) bool {
			return strings.HasPrefix(s.Run, "make "+target+" ")
		})
	}
	secret := func(value any) bool {
		text, _ := value.(string)
		return strings.Contains(text, "github.token") || strings.Contains(text, "secrets.")
	}
	for key, value := range w.Env {
		if secret(value) {
			t.Errorf("all jobs have %s", key)
		}
	}
	given := 0
	for name, job := range w.Jobs {
		for key, value := range job.Env {
			if secret(value) {
				t.Errorf("all of job %s has %s", name, key)
			}
		}
		for _, step := range job.Steps {
			if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != false {
				t.Errorf("the checkout of job %s leaves a token in .git/config", name)
			}
			has := false
			for _, value := range step.Env {
				has = has || secret(value)
			}
			if has != publishes(step) {
				t.Errorf("job %s, step %s%s: it has credentials: %t", name, step.Uses, step.Run, has)
			}
			if has {
				given++
			}
		}
	}
	if given != 4 {
		t.Errorf("%d steps publish; want 4", given)
	}
}

// TestJobsThatSignBuildNothing: every step of a job that may have an identity can sign with it, and
// so can whatever wrote what such a step runs.
func TestJobsThatSignBuildNothing(t *testing.T) {
	const version = ` VERSION="${GITHUB_REF_NAME#v}"`
	runs := []string{
		"apt-get update && apt-get install -y --no-install-recommends ca-certificates git make",
		`git config --global --add safe.directory "$GITHUB_WORKSPACE"`,
		"make image-tools",
		"make image-push" + version + " IMAGE_ARCH=amd64",
		"make image-push" + version + " IMAGE_ARCH=arm64",
		"make image-index" + version,
		"make release-sign" + version,
		"make release-publish" + version,
	}
	signing := 0
	for name, job := range workflowOf(t, releaseWorkflow).Jobs {
		if job.Permissions["id-token"] != "write" {
			continue
		}
		signing++
		for _, step := range job.Steps {
			if step.Run != "" && !slices.Contains(runs, step.Run) {
				t.Errorf("the job %s may sign, and runs %s", name, step.Run)
			}
			if strings.HasPrefix(step.Uses, "actions/setup-go@") && step.With["cache"] != false {
				t.Errorf("the job %s may sign, and builds with what other jobs left in a cache", name)
			}
		}
	}
	if signing != 2 {
		t.Errorf("%d jobs sign; want 2", signing)
	}
}
