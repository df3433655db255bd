package cors

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Severity says what to do about a Finding.
type Severity int

// The severities.
const (
	Warning Severity = iota // works, but may allow more than was meant
	Error                   // S3 refuses it, or it can never do what it says
)

func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// Finding is one thing that is wrong or dangerous in rules.
type Finding struct {
	Severity Severity
	Rule     int    // index; -1 for the configuration as a whole
	Field    string // of the rule, as the document names it; may be empty
	Value    string // the value in question; may be empty
	Text     string // what is wrong, going on from "the value "
	Fix      string // what to write instead of Value; may be empty
}

// String is the finding on one line, without its severity.
func (f Finding) String() string {
	var b strings.Builder
	switch {
	case f.Rule >= 0 && f.Field == "":
		fmt.Fprintf(&b, "rule %d ", f.Rule+1)
	case f.Rule >= 0:
		fmt.Fprintf(&b, "rule %d: ", f.Rule+1)
	}
	if f.Field != "" {
		fmt.Fprintf(&b, "%s ", f.Field)
	}
	if f.Value != "" {
		fmt.Fprintf(&b, "%q ", f.Value)
	}
	b.WriteString(f.Text)
	if f.Fix != "" {
		fmt.Fprintf(&b, "; write %q", f.Fix)
	}
	return b.String()
}

// Lint finds what S3 would refuse, what can never work, and what allows more
// than people mean, in the order of the rules.
func Lint(rules []Rule) []Finding {
	var l linter
	// What is too much is not looked at further: comparing each with each would
	// take long.
	if len(rules) > MaxRules {
		l.add(Error, -1, "", "", "", fmt.Sprintf("there are %d rules; S3 takes %d at most", len(rules), MaxRules))
		return l.findings
	}
	if n := storedSize(rules); n > MaxDocument {
		l.add(Error, -1, "", "", "", fmt.Sprintf("the rules take %d bytes; S3 stores %d at most", n, MaxDocument))
		return l.findings
	}
	ids := map[string]int{}
	for i, r := range rules {
		l.id(i, r, ids)
		l.origins(i, r)
		l.methods(i, r)
		l.headers(i, r)
		l.shadow(i, rules)
	}
	return l.findings
}

// storedSize is the length of the XML that S3 stores for rules, at least: what
// must be escaped takes some more.
func storedSize(rules []Rule) int {
	n := len(`<CORSConfiguration></CORSConfiguration>`)
	list := func(name string, values []string) {
		for _, v := range values {
			n += 2*len(name) + len(`<></>`) + len(v)
		}
	}
	for _, r := range rules {
		n += len(`<CORSRule></CORSRule>`) + len(r.ID)
		list("AllowedOrigin", r.AllowedOrigins)
		list("AllowedMethod", r.AllowedMethods)
		list("AllowedHeader", r.AllowedHeaders)
		list("ExposeHeader", r.ExposeHeaders)
	}
	return n
}

// LintOrigin checks a single AllowedOrigin. The findings' Rule is -1.
func LintOrigin(origin string) []Finding {
	var l linter
	l.origin(-1, origin)
	return l.findings
}

type linter struct{ findings []Finding }

func (l *linter) add(s Severity, rule int, field, value, fix, text string) {
	l.findings = append(l.findings, Finding{Severity: s, Rule: rule, Field: field, Value: value, Text: text, Fix: fix})
}

func (l *linter) id(i int, r Rule, seen map[string]int) {
	if n := utf8.RuneCountInString(r.ID); n > MaxID {
		l.add(Error, i, "ID", "", "", fmt.Sprintf("is %d characters long; S3 takes %d at most", n, MaxID))
	}
	if first, ok := seen[r.ID]; ok && r.ID != "" {
		l.add(Warning, i, "ID", r.ID, "", fmt.Sprintf("is rule %d's as well", first+1))
	} else {
		seen[r.ID] = i
	}
}

func (l *linter) origins(i int, r Rule) {
	if len(r.AllowedOrigins) == 0 {
		l.add(Error, i, "AllowedOrigins", "", "", "is missing; S3 wants one origin at least")
	}
	for _, o := range r.AllowedOrigins {
		l.origin(i, o)
		if why := anySiteWrites(o, r.AllowedMethods); why != "" {
			l.add(Warning, i, "AllowedOrigins", o, "", why)
		}
	}
}

func (l *linter) origin(i int, o string) {
	if why := originError(o); why != "" {
		l.add(Error, i, "AllowedOrigins", o, originFix(o), why)
		return
	}
	for _, why := range originDangers(o) {
		l.add(Warning, i, "AllowedOrigins", o, "", why)
	}
}

// anySiteWrites says what it means that o and methods stand in one rule.
func anySiteWrites(o string, methods []string) string {
	var writes []string
	for _, m := range []string{"PUT", "POST", "DELETE"} {
		if slices.Contains(methods, m) {
			writes = append(writes, m)
		}
	}
	if len(writes) == 0 || !matchesEverySite(o) {
		return ""
	}
	return fmt.Sprintf("with %s lets a page of any site in the world change the bucket through a visitor who holds a signed URL or credentials",
		strings.Join(writes, ", "))
}

func (l *linter) methods(i int, r Rule) {
	if len(r.AllowedMethods) == 0 {
		l.add(Error, i, "AllowedMethods", "", "", "is missing; S3 wants one method at least")
	}
	for _, m := range r.AllowedMethods {
		upper := strings.ToUpper(strings.TrimSpace(m))
		switch {
		case slices.Contains(Methods(), m):
		case slices.Contains(Methods(), upper):
			l.add(Error, i, "AllowedMethods", m, upper, "must be in upper case")
		case upper == "OPTIONS":
			l.add(Error, i, "AllowedMethods", m, "", "must be left out: S3 answers preflights by itself")
		case upper == "*":
			l.add(Error, i, "AllowedMethods", m, "", "is not known to S3; name the methods: "+strings.Join(Methods(), ", "))
		default:
			l.add(Error, i, "AllowedMethods", m, "", "is not known to S3, which knows "+strings.Join(Methods(), ", "))
		}
	}
}

// headerName is a token of RFC 9110, section 5.6.2.
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

func (l *linter) headers(i int, r Rule) {
	for _, h := range r.AllowedHeaders {
		switch {
		case !headerName.MatchString(h):
			l.add(Error, i, "AllowedHeaders", h, "", "is no header name")
		case strings.Count(h, "*") > 1:
			l.add(Error, i, "AllowedHeaders", h, "", "has more than one *, which S3 refuses")
		case neverSent(strings.ToLower(h)):
			l.add(Warning, i, "AllowedHeaders", h, "", "does nothing: browsers don't let a page set that header")
		}
	}
	for _, h := range r.ExposeHeaders {
		switch {
		case !headerName.MatchString(h):
			l.add(Error, i, "ExposeHeaders", h, "", "is no header name")
		case strings.Contains(h, "*"):
			l.add(Error, i, "ExposeHeaders", h, "", "has a *, which S3 refuses here; name each header")
		case neverShown(strings.ToLower(h)):
			l.add(Warning, i, "ExposeHeaders", h, "", "does nothing: browsers hide that header from pages")
		}
	}
	if r.MaxAgeSeconds != nil && *r.MaxAgeSeconds < 0 {
		l.add(Error, i, "MaxAgeSeconds", "", "", "is negative")
	}
}

// shadow finds a rule that never decides, because an earlier one answers all
// it would allow.
func (l *linter) shadow(i int, rules []Rule) {
	for j, earlier := range rules[:i] {
		if answersAll(earlier, rules[i]) {
			l.add(Warning, i, "", "", "", fmt.Sprintf("is never used: rule %d allows all of it first", j+1))
			return
		}
	}
}

// answersAll tells whether a allows every request that b does.
func answersAll(a, b Rule) bool {
	if len(b.AllowedOrigins) == 0 || len(b.AllowedMethods) == 0 {
		return false
	}
	aHeaders := lower(a.AllowedHeaders)
	return all(b.AllowedOrigins, func(o string) bool { return anyCovers(a.AllowedOrigins, o) }) &&
		all(b.AllowedMethods, func(m string) bool { return slices.Contains(a.AllowedMethods, m) }) &&
		all(lower(b.AllowedHeaders), func(h string) bool { return anyCovers(aHeaders, h) })
}

func all(values []string, ok func(string) bool) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return !ok(v) })
}
