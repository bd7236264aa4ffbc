package planning

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cephferry/cephferry/pkg/failover"
)

// Failures are for a person: what is wrong with several volumes is said once, and last that
// the others were not begun.
func Failures(volumes []Volume, errs []error) []error {
	var texts []string
	claims := map[string][]string{}
	for i, err := range errs {
		if err == nil {
			continue
		}
		text := failover.WithAdvice(err).Error()
		if claims[text] == nil {
			texts = append(texts, text)
		}
		claims[text] = append(claims[text], volumes[i].Claim.String())
	}
	slices.SortStableFunc(texts, func(a, b string) int {
		notBegun := failover.ErrNotBegun.Error()
		return cmp.Compare(strings.Count(a, notBegun), strings.Count(b, notBegun))
	})
	var all []error
	for _, text := range texts {
		what := "volume " + claims[text][0]
		if n := len(claims[text]) - 1; n > 0 {
			what += fmt.Sprintf(" and %d more", n)
		}
		all = append(all, fmt.Errorf("%s: %s", what, text))
	}
	return all
}
