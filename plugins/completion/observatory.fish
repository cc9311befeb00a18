# Completes the command lines of observatory in fish: `observatory completion fish | source`.

function __observatory_complete
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l current (commandline --cut-at-cursor --current-token)
    while string match --quiet --regex '^\w+=' -- "$words[1]"
        set --erase words[1]
    end
    set -l program (string replace --regex '^~/' "$HOME/" -- "$words[1]")
    # It may be called by another name here, such as an alias.
    type --no-functions --quiet -- "$program"; or set program observatory
    set -l typed (string unescape -- "$current" 2>/dev/null)
    or set typed (string trim --left --chars '"\'' -- "$current")
    set -l answer ($program __complete fish -- $words[2..-1] "$typed" 2>/dev/null)
    set -l paths $answer[1]
    set -l prefix $answer[2]
    test (count $answer) -gt 3; and printf '%s\n' $answer[4..-1]
    set -l path (string sub --start (math (string length -- "$prefix") + 1) -- "$typed")
    set -l found
    switch "$paths"
        case files
            set found (__fish_complete_path "$path")
        case directories
            set found (__fish_complete_directories "$path")
    end
    for each in $found
        echo "$prefix$each"
    end
end

complete --command observatory --no-files --keep-order --arguments '(__observatory_complete)'
