package model

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// mappingNames are how images are mapped, as scenarios say it.
var mappingNames = []string{NoLock: "no-lock", Lock: "lock", Exclusive: "exclusive"}

// set sets a field of the configuration, by its name in lower case. Clusters are told by their names,
// nodes by theirs, and a rule as the files of testdata are called.
func (c *Config) set(line string) error {
	words := strings.Fields(line)
	if len(words) == 0 {
		return errors.New("given what?")
	}
	fields := reflect.ValueOf(c).Elem()
	field := fields.FieldByNameFunc(func(name string) bool {
		return strings.EqualFold(name, words[0]) && strings.ToLower(words[0]) == words[0]
	})
	if !field.IsValid() {
		var names []string
		for i := range fields.NumField() {
			names = append(names, strings.ToLower(fields.Type().Field(i).Name))
		}
		return fmt.Errorf("given: there is no %q; there are %s", words[0], strings.Join(names, ", "))
	}
	arguments := words[1:]
	one := func(names []string) (int, error) {
		if i := slices.Index(names, strings.Join(arguments, " ")); i >= 0 {
			return i, nil
		}
		return 0, fmt.Errorf("given %s: %q is none of %s", words[0], strings.Join(arguments, " "), strings.Join(names, ", "))
	}
	switch value := field.Addr().Interface().(type) {
	case *bool:
		if len(arguments) > 0 {
			return fmt.Errorf("given %s: it takes nothing", words[0])
		}
		*value = true
	case *int:
		number, err := strconv.Atoi(strings.Join(arguments, " "))
		if err != nil || number < 1 || number > maxPods {
			return fmt.Errorf("given %s: it takes a number from 1 to %d", words[0], maxPods)
		}
		*value = number
	case *Mapping:
		i, err := one(mappingNames)
		*value = Mapping(i)
		return err
	case *Rule:
		i, err := one(ruleNames[:])
		*value = Rule(i)
		return err
	case *clusters:
		for _, name := range arguments {
			i := slices.Index(clusterNames[:], name)
			if i < 0 {
				return fmt.Errorf("given %s: there is no cluster %q", words[0], name)
			}
			value[i] = true
		}
	case *[]int:
		return c.members(words[0], arguments, value)
	}
	return nil
}

// members are the clusters of the nodes, which are called e1, e2 and w1, or of ann and bob.
func (c *Config) members(field string, arguments []string, value *[]int) error {
	most := map[string]int{"nodes": maxNodes, "persons": maxPersons}[field]
	if len(arguments) == 0 || len(arguments) > most {
		return fmt.Errorf("given %s: it takes 1 to %d names", field, most)
	}
	*value = nil
	for _, name := range arguments {
		i := slices.IndexFunc(clusterNames[:], func(cluster string) bool {
			return cluster == name || field == "nodes" && strings.HasPrefix(name, cluster[:1])
		})
		if i < 0 {
			return fmt.Errorf("given %s: there is no cluster for %q", field, name)
		}
		*value = append(*value, i)
		if field != "nodes" {
			continue
		}
		if called := nodeName(*value, len(*value)-1); called != name {
			return fmt.Errorf("given nodes: %q would be called %s", name, called)
		}
	}
	return nil
}

// ruleNames are the rules as the files of testdata are called.
var ruleNames = [...]string{
	AllRules: "nothing", Rule1: "rule-1", Rule1Whose: "rule-1-whose", Rule1Named: "rule-1-named", Rule1Live: "rule-1-live", Rule2: "rule-2",
	Rule3: "rule-3", Rule3Order: "rule-3-order", Rule3InUse: "rule-3-in-use", Rule3Gone: "rule-3-gone", Rule3Anew: "rule-3-anew",
	Rule3Machine: "rule-3-machine", Rule3Grows: "rule-3-grows", Rule3Cached: "rule-3-cached", Rule3Pending: "rule-3-pending",
	Rule3Admissions: "rule-3-admissions", Rule4: "rule-4", Rule5: "rule-5", Rule5Early: "rule-5-early", Rule6Watchers: "rule-6-watchers",
	Rule6Verify: "rule-6-verify", Rule6Binding: "rule-6-binding", Rule6Unbound: "rule-6-unbound", Rule6Finish: "rule-6-finish",
	Rule7Hour: "rule-7-hour", Rule7Unfence: "rule-7-unfence", Rule8First: "rule-8-first", Rule8Again: "rule-8-again",
	Rule8Others: "rule-8-others", Rule8Repair: "rule-8-repair", Rule8Renamer: "rule-8-renamer", Rule8FenceFirst: "rule-8-fence-first",
	Rule8Look: "rule-8-look", Rule8Holder: "rule-8-holder", Rule8Exact: "rule-8-exact", Rule8Unseen: "rule-8-unseen", Rule8Keeper: "rule-8-keeper",
	Rule9: "rule-9", Rule9Attachment: "rule-9-attachment", Rule9Flight: "rule-9-flight", Rule10Boot: "rule-10-boot", Rule10Client: "rule-10-client",
}
