/** `sluice completion bash|zsh|fish`: what a shell offers after `sluice`, made of the table of commands. */
import { UsageError, command, type Command, type CommandGroup } from "../command.ts";
import type { Topic } from "../help.ts";

type Entry = Command | CommandGroup;

interface Word {
  readonly word: string;
  readonly says: string;
  /** A flag whose value comes next: a file's name, as far as a shell knows. */
  readonly takesValue?: boolean;
}

/** What may follow these words. */
interface Offer {
  readonly after: string;
  readonly words: readonly Word[];
}

const shells: Readonly<Record<string, (offers: readonly Offer[]) => string>> = { bash, zsh, fish };

type Topics = readonly (readonly [name: string, topic: Topic])[];

/** Both are read when the command runs, because it is itself one of the commands. */
export function completionOf(commands: () => readonly Entry[], topics: () => Topics): Command {
  return command({
    name: "completion",
    summary: "Print the completions for a shell: bash, zsh or fish",
    arguments: { shell: "bash, zsh or fish" },
    readsSettings: false,
    run(context, { args }) {
      const print = Object.hasOwn(shells, args.shell) ? shells[args.shell] : undefined;
      if (print === undefined) throw new UsageError("the shell is bash, zsh or fish");
      context.stdout(print(offersOf(commands(), topics())));
      return Promise.resolve(0);
    },
  });
}

function offersOf(commands: readonly Entry[], topics: Topics): readonly Offer[] {
  const names = commands.map(({ name, summary }) => ({ word: name, says: summary }));
  const helped = topics.map(([name, { summary }]) => ({ word: name, says: summary }));
  const isTopic = (name: string) => topics.some(([topic]) => topic === name);
  return [
    {
      after: "",
      words: [
        ...names,
        { word: "help", says: "Print help" },
        { word: "--version", says: "Print version and commit" },
        helpFlag,
      ],
    },
    { after: "help", words: [...helped, ...names.filter(({ word }) => !isTopic(word))] },
    ...commands.flatMap((entry) => ("run" in entry ? [flagsOf(entry.name, entry)] : offersOfGroup(entry))),
  ];
}

function offersOfGroup({ name, commands }: CommandGroup): readonly Offer[] {
  return [
    { after: name, words: commands.map((one) => ({ word: one.name, says: one.summary })) },
    ...commands.map((one) => flagsOf(`${name} ${one.name}`, one)),
  ];
}

const helpFlag: Word = { word: "--help", says: "Print help" };

function flagsOf(after: string, { options }: Command): Offer {
  const words = Object.values(options).map(({ flags, help }) => ({
    word: flags.split(" ")[0] ?? "",
    says: help,
    takesValue: flags.includes("<"),
  }));
  const shellNames =
    after === "completion" ? Object.keys(shells).map((shell) => ({ word: shell, says: `For ${shell}` })) : [];
  return { after, words: [...shellNames, ...words, helpFlag] };
}

/** As a pattern of a shell's `case`. */
function flagsWithValue(offers: readonly Offer[]): string {
  const flags = offers.flatMap(({ words }) => words.filter(({ takesValue }) => takesValue));
  return [...new Set(flags.map(({ word }) => word))].join("|");
}

function bash(offers: readonly Offer[]): string {
  const cases = offers.map(
    ({ after, words }) => `    "${after}") words="${words.map(({ word }) => word).join(" ")}" ;;`,
  );
  return `# sluice completion bash > /etc/bash_completion.d/sluice
_sluice() {
  local word path="" words=""
  COMPREPLY=()
  case \${COMP_WORDS[COMP_CWORD-1]} in ${flagsWithValue(offers)}) return ;; esac
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] || path+="\${path:+ }$word"
  done
  # What stands behind a command's own words are its arguments and values.
  while
    case $path in
${indented(cases)}
    esac
    [[ -z $words && $path == *" "* ]]
  do path=\${path% *}; done
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}")
}
complete -o default -F _sluice sluice
`;
}

function zsh(offers: readonly Offer[]): string {
  const cases = offers.map(({ after, words }) => {
    const pairs = words.map(({ word, says }) => quoted(`${word}:${says}`)).join(" ");
    return `    "${after}") offered=(${pairs}) ;;`;
  });
  return `#compdef sluice
# sluice completion zsh > "\${fpath[1]}/_sluice"
_sluice() {
  local word place="" offered=()
  case $words[CURRENT-1] in ${flagsWithValue(offers)}) _files; return ;; esac
  for word in "\${(@)words[2,CURRENT-1]}"; do
    [[ $word == -* ]] || place+="\${place:+ }$word"
  done
  while true; do
    case $place in
${indented(cases)}
    esac
    [[ \${#offered} -gt 0 || $place != *" "* ]] && break
    place=\${place% *}
  done
  _describe sluice offered || _files
}
# In a directory of fpath this file is the function itself, at its first call.
if [[ $funcstack[1] == _sluice ]]; then _sluice; else compdef _sluice sluice; fi
`;
}

function fish(offers: readonly Offer[]): string {
  const lines = offers.flatMap(({ after, words }) => {
    const when = `complete -c sluice -n ${quoted(`__sluice_after ${quoted(after)}`)}`;
    const each = words.map(({ word, says, takesValue }) => {
      const what = word.startsWith("--") ? `-l ${word.slice(2)}${takesValue ? " -r" : ""}` : `-a ${word}`;
      return `${when} ${what} -d ${quoted(says)}\n`;
    });
    // Files only where arguments come, not where a word of ours is expected.
    return words.every(({ word }) => word.startsWith("--")) ? each : [`${when} -f\n`, ...each];
  });
  return `# sluice completion fish > ~/.config/fish/completions/sluice.fish
function __sluice_after
  set -l path (string join ' ' -- (commandline -opc)[2..-1] | string replace -ra '(^| )-\\S*' '')
  # What stands behind a command's own words are its arguments and values.
  while not contains -- "$path" ${offers.map(({ after }) => quoted(after)).join(" ")}; and string match -q '* *' -- "$path"
    set path (string replace -r ' \\S*$' '' -- "$path")
  end
  test "$path" = "$argv[1]"
end
${lines.join("")}`;
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join("\n");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
