package model

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// scenario is a text that a person writes, and what came of it, see docs/safety.md. A line is
//
//	# a comment; the first one says what the scenario shows
//	given FIELD ...  a field of [Config], before the first step
//	STEP             a step of the model, see [commands], or several, see [routes]
//	may STEP         the step may happen now; it does not
//	refused STEP     it may not, because of the reason that follows
//	wrong STEP       it happens, and after it something is wrong; this ends the scenario
//	state            prints the state
//
// and, indented, what came of the command above. What may happen is what [Model.next] emits:
// nothing here decides it a second time.
type scenario struct {
	*Model
	config Config
	now    state
	// wrong is what is wrong now.
	wrong string
	out   strings.Builder
}

// play carries a scenario out, and returns its text with what came of it now.
func play(file, text string) (string, error) {
	var s scenario
	titled := false
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			continue // what came of it before
		}
		s.out.WriteString(line + "\n")
		titled = titled || strings.HasPrefix(line, "# ")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !titled {
			return "", fmt.Errorf("%s:%d: the first line has to be a comment that says what the scenario shows", file, i+1)
		}
		if err := s.do(line); err != nil {
			return "", fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
	}
	if s.Model == nil {
		return "", fmt.Errorf("%s: there is no step", file)
	}
	return s.out.String(), nil
}

// do is one line.
func (s *scenario) do(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	if verb == "given" {
		if s.Model != nil {
			return errors.New("given comes before the first step")
		}
		return s.config.set(rest)
	}
	if s.Model == nil {
		if len(s.config.Nodes) == 0 || s.config.Pods == 0 {
			return errors.New("the nodes and the pods are missing, as in: given nodes e1 w1, and: given pods 1")
		}
		s.Model = New(s.config)
		s.now = s.initial()
	}
	if s.wrong != "" && verb != "state" {
		return errors.New("the scenario ends where something is wrong")
	}
	switch verb {
	case "state":
		s.tell(s.text(s.now)...)
		return nil
	case "may":
		return s.may(rest)
	case "refused":
		return s.refused(rest)
	case "wrong":
		return s.goesWrong(rest)
	}
	reason, err := s.run(line)
	switch {
	case err != nil:
		return err
	case reason != "":
		return fmt.Errorf("%s: %s; what may happen: %s", line, reason, strings.Join(s.possible(strings.Fields(line)), ", "))
	case s.wrong != "":
		return fmt.Errorf("after %q: %s", line, s.wrong)
	}
	return nil
}

func (s *scenario) tell(lines ...string) {
	for _, line := range lines {
		s.out.WriteString("    " + line + "\n")
	}
}

// run carries out a step, or the steps of a route. The reason is why it does not happen.
func (s *scenario) run(line string) (reason string, err error) {
	if r, ok := routes[firstWord(line)]; ok {
		return s.follow(r, line)
	}
	typed, err := s.parsePattern(line)
	if err != nil {
		return "", err
	}
	found := s.enabled(func(step Step) bool { return s.matches(typed, step) })
	switch len(found) {
	case 0:
		return s.why(s.now, typed), nil
	case 1:
		s.take(found[0])
		return "", nil
	}
	return "", fmt.Errorf("%s: more than one step is called so", line)
}

func firstWord(line string) string {
	word, _, _ := strings.Cut(line, " ")
	return word
}

// takenStep is a step that may happen, and where it leads.
type takenStep struct {
	by   Step
	next state
}

// enabled are the steps that may happen now.
func (s *scenario) enabled(wanted func(Step) bool) []takenStep {
	var all []takenStep
	s.next(s.now, func(by Step, t state) {
		if wanted(by) {
			all = append(all, takenStep{by, t})
		}
	})
	return all
}

// take carries a step out, and looks whether something is wrong then.
func (s *scenario) take(step takenStep) {
	s.tell(s.describe(step.by))
	s.now = step.next
	s.wrong = s.brokenIn(s.now)
}

func (s *scenario) may(line string) error {
	typed, err := s.parsePattern(line)
	if err != nil {
		return err
	}
	found := s.enabled(func(step Step) bool { return s.matches(typed, step) })
	if len(found) == 0 {
		return fmt.Errorf("may %s: %s; what may happen: %s", line, s.why(s.now, typed), strings.Join(s.possible(strings.Fields(line)), ", "))
	}
	s.tell("yes: " + s.describe(found[0].by))
	return nil
}

func (s *scenario) refused(line string) error {
	reason, err := s.run(line)
	switch {
	case err != nil:
		return err
	case s.wrong != "":
		return fmt.Errorf("after %q: %s", line, s.wrong)
	case reason == "":
		return fmt.Errorf("refused %s: it is not refused", line)
	}
	s.tell("refused: " + reason)
	return nil
}

func (s *scenario) goesWrong(line string) error {
	reason, err := s.run(line)
	switch {
	case err != nil:
		return err
	case reason != "":
		return fmt.Errorf("wrong %s: %s", line, reason)
	case s.wrong == "":
		return fmt.Errorf("wrong %s: nothing is wrong after it", line)
	}
	s.tell("=> " + s.wrong)
	return nil
}

// possible are the commands for what may happen now to what a person has named, or to anything.
func (s *scenario) possible(typed []string) []string {
	var about, all []string
	s.next(s.now, func(by Step, _ state) {
		words := strings.Fields(commands[by.Kind])
		for i, word := range words {
			if strings.HasPrefix(word, "{") {
				words[i] = s.argument(word, by)
			}
		}
		command := strings.Join(words, " ")
		all = append(all, command)
		if len(typed) > 1 && slices.Contains(words[1:], typed[1]) {
			about = append(about, command)
		}
	})
	if len(about) > 0 {
		all = about
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// promises are what has to be true in every state of a scenario.
var promises = []struct {
	name  string
	wrong func(*Model, state) string
	asked func(Config) bool
}{
	{"clients of two clusters never can write at once", TwoWriters, func(Config) bool { return true }},
	{"nobody can write but the recorded owner", Stranger, func(c Config) bool { return !c.Before }},
	{"two nodes of one cluster never can write at once", TwoNodes, func(c Config) bool { return c.Single }},
	{"nothing of a node is cut off but what was confirmed", Harmed, func(c Config) bool { return c.Objects != clusters{} }},
	{"no claim takes another one's image", Usurped, func(Config) bool { return true }},
	{"an owner is not locked out of its own image", LockedOut, func(Config) bool { return true }},
}

// brokenIn says which promise the state breaks, and which rule is missing.
func (m *Model) brokenIn(s state) string {
	for _, promise := range promises {
		if wrong := promise.wrong(m, s); promise.asked(m.Config) && wrong != "" {
			broken := fmt.Sprintf("broken: %s: %s", promise.name, wrong)
			if m.Without != AllRules {
				broken += "; " + instead[m.Without]
			}
			return broken
		}
	}
	return ""
}
