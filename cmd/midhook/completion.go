package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

var completionManual = manual{
	operands: "SHELL",
	about:    `Prints a script that completes commands and flags in bash, zsh or fish.`,
	examples: []string{
		"source <(midhook completion bash)",
		"midhook completion zsh >~/.zfunc/_midhook",
		"midhook completion fish >~/.config/fish/completions/midhook.fish",
	},
	exit: [2]string{"it was printed", "never"},
}

func completion(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("completion", flag.ContinueOnError)
	operands, code, done := parseOperands(flags, 1, 1, args, stdout, stderr)
	if done {
		return code
	}
	var names []string
	words := map[string][]string{"completion": {"bash", "zsh", "fish"}}
	for name := range manuals {
		words[name] = append(words[name], flagsOf(ctx, name)...)
	}
	for _, c := range overview() {
		names = append(names, c[0])
	}
	switch operands[0] {
	case "bash", "zsh":
		printPOSIXCompletion(stdout, operands[0], names, words)
	case "fish":
		printFishCompletion(stdout, names, words)
	default:
		return misused(stderr, flags, errors.New("SHELL must be bash, zsh or fish"))
	}
	return exitOK
}

// flagsOf reads a command's flags from its help, which every command prints.
func flagsOf(ctx context.Context, name string) (names []string) {
	var text strings.Builder
	run(ctx, []string{name, "-h"}, &text, io.Discard)
	for line := range strings.Lines(text.String()) {
		if rest, ok := strings.CutPrefix(line, "  --"); ok {
			names = append(names, "--"+strings.Fields(rest)[0])
		}
	}
	return names
}

func printPOSIXCompletion(w io.Writer, shell string, names []string, words map[string][]string) {
	if shell == "zsh" {
		fmt.Fprint(w, "#compdef midhook\nautoload -Uz bashcompinit && bashcompinit\n")
	}
	fmt.Fprint(w, "_midhook_complete() {\n  local candidates\n  case \"${COMP_WORDS[1]}\" in\n")
	for _, name := range names {
		fmt.Fprintf(w, "  %s) candidates=%q ;;\n", name, strings.Join(words[name], " "))
	}
	fmt.Fprintf(w, "  *) candidates= ;;\n  esac\n  if [ \"$COMP_CWORD\" -eq 1 ]; then candidates=%q; fi\n", strings.Join(append(names, "help"), " "))
	fmt.Fprint(w, "  COMPREPLY=($(compgen -W \"$candidates\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\ncomplete -o default -F _midhook_complete midhook\n")
}

func printFishCompletion(w io.Writer, names []string, words map[string][]string) {
	for _, c := range overview() {
		fmt.Fprintf(w, "complete -c midhook -f -n __fish_use_subcommand -a %s -d %q\n", c[0], c[1])
	}
	for _, name := range names {
		for _, word := range words[name] {
			option := "-a " + word
			if long, ok := strings.CutPrefix(word, "--"); ok {
				option = "-l " + long
			}
			fmt.Fprintf(w, "complete -c midhook -n '__fish_seen_subcommand_from %s' %s\n", name, option)
		}
	}
}
