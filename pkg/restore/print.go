package restore

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/kubeyaml"
)

// Print writes the claims as kubectl apply takes them. What is not known is in comments.
func (p *Plan) Print(out io.Writer) error {
	text := &strings.Builder{}
	comment := func(format string, arguments ...any) {
		for line := range strings.Lines(fmt.Sprintf(format, arguments...)) {
			fmt.Fprintf(text, "# %s\n", inComment(strings.TrimRight(line, "\n")))
		}
	}
	comment("Claims of cluster %s (uid %s), out of the records of its images.", cmp.Or(p.From.Name, "-"), p.From.UID)
	comment("Access modes and volume mode are those of the command line. Labels, and volumes on CephFS, are in no record.")
	if slices.ContainsFunc(p.Claims, func(c Claim) bool { return claims.VolumeMode(c.Object) == corev1.PersistentVolumeFilesystem }) {
		comment("A raw device that is mounted as Filesystem is formatted: make sure that none is among them.")
	}
	for _, before := range p.Before {
		comment("Before: %s", before)
	}
	for _, name := range p.There {
		comment("Is here already: claim %s", name)
	}
	for _, image := range p.Free {
		comment("Cannot know whose image %s was: the cluster gave it up, and its record no longer names a claim", image)
	}
	for _, left := range p.Left {
		comment("Left out: %s", left)
	}
	for _, unread := range p.Unread {
		comment("Cannot know %s", unread)
	}
	for _, claim := range p.Claims {
		fmt.Fprintf(text, "---\n# image %s, owned since %s\n", inComment(claim.Image.String()), inComment(claim.Since))
		objects := []any{claim.Object}
		if claim.Volume != nil {
			objects = []any{claim.Volume, claim.Object}
		}
		for i, object := range objects {
			document, err := kubeyaml.Of(object)
			if err != nil {
				return fmt.Errorf("print claim %s/%s: %w", claim.Object.Namespace, claim.Object.Name, err)
			}
			if i > 0 {
				text.WriteString("---\n")
			}
			text.Write(document)
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// inComment is a text as it ends no comment: a record may have any name in it, and YAML knows
// more line breaks than people do.
func inComment(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}
