/** `sluice completion bash|zsh|fish`: what a shell offers after `sluice`, made of the table of commands. */
import { UsageError, command, type Command, type CommandGroup } from "../command.ts";
import type { Topic } from "../help.ts";

type Entry = Command | CommandGroup;

/** What may follow these words, each with its description. */
interface Offer {
  readonly after: string;
  readonly words: readonly (readonly [word: string, says: string])[];
}

const shells: Readonly<Record<string, (offers: readonly Offer[]) => string>> = { bash, zsh, fish };

type Topics = readonly (readonly [name: string, topic: Topic])[];

/** Both are read when the command runs, because it is itself one of the commands. */
export function completionOf(commands: () => readonly Entry[], topics: () => Topics): Command {
  return command({
    name: "completion",
    summary: "Print the completions for a shell: bash, zsh or fish",
    arguments: { shell: "bash, zsh or fish" },
    run(context, { args }) {
      const print = Object.hasOwn(shells, args.shell) ? shells[args.shell] : undefined;
      if (print === undefined) throw new UsageError("the shell is bash, zsh or fish");
      context.stdout(print(offersOf(commands(), topics())));
      return Promise.resolve(0);
    },
  });
}

function offersOf(commands: readonly Entry[], topics: Topics): readonly Offer[] {
  const top = [
    ...commands.map(({ name, summary }) => [name, summary] as const),
    ["help", "Print help"] as const,
  ];
  return [
    { after: "", words: top },
    { after: "help", words: topics.map(([name, { summary }]) => [name, summary] as const) },
    { after: "completion", words: Object.keys(shells).map((shell) => [shell, `For ${shell}`] as const) },
    ...commands.flatMap((entry) => ("run" in entry ? [flagsOf(entry.name, entry)] : offersOfGroup(entry))),
  ].filter(({ words }) => words.length > 0);
}

function offersOfGroup({ name, commands }: CommandGroup): readonly Offer[] {
  return [
    { after: name, words: commands.map((one) => [one.name, one.summary] as const) },
    ...commands.map((one) => flagsOf(`${name} ${one.name}`, one)),
  ];
}

function flagsOf(after: string, { options }: Command): Offer {
  const words = Object.values(options).map(({ flags, help }) => [flags.split(" ")[0] ?? "", help] as const);
  return { after, words };
}

function bash(offers: readonly Offer[]): string {
  const cases = offers.map(
    ({ after, words }) => `    "${after}") words="${words.map(([word]) => word).join(" ")}" ;;`,
  );
  return `# sluice completion bash > /etc/bash_completion.d/sluice
_sluice() {
  local word path="" words=""
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
    const pairs = words.map(([word, says]) => quoted(`${word}:${says}`)).join(" ");
    return `    "${after}") offered=(${pairs}) ;;`;
  });
  return `#compdef sluice
# sluice completion zsh > "\${fpath[1]}/_sluice"
_sluice() {
  local word place="" offered=()
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
compdef _sluice sluice
`;
}

function fish(offers: readonly Offer[]): string {
  const lines = offers.flatMap(({ after, words }) =>
    words.map(([word, says]) => {
      const when =
        after === "" ? "__fish_use_subcommand" : `__fish_seen_subcommand_from ${after.split(" ").at(-1)}`;
      const what = word.startsWith("--") ? `-l ${word.slice(2)}` : `-a ${word}`;
      return `complete -c sluice -n ${quoted(when)} ${what} -d ${quoted(says)}`;
    }),
  );
  return `# sluice completion fish > ~/.config/fish/completions/sluice.fish\n${lines.join("\n")}\n`;
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join("\n");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
