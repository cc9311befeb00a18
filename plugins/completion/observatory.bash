# Completes the command lines of observatory in bash: `source <(observatory completion bash)`.

_observatory() {
  local program=$1 line paths=""
  # shellcheck disable=SC2088 # As it was typed.
  case $program in "~/"*) program=$HOME/${program#"~/"} ;; esac
  # It may be called by another name here, such as an alias.
  type -P -- "$program" >/dev/null || program=observatory
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ -z $paths ]]; then paths=$line; else COMPREPLY+=("$line"); fi
  done <<<"$("$program" __complete bash -- "$COMP_LINE" "$COMP_POINT" "$2" 2>/dev/null)"
  # Bash before 4.4 has no `nosort`, before 4 no `compopt`.
  compopt -o nosort 2>/dev/null
  case $paths in
    files)
      if ((${#COMPREPLY[@]} == 0)); then
        compopt -o default 2>/dev/null
      else
        while IFS= read -r line; do
          [[ -z $line ]] || COMPREPLY+=("$line")
        done <<<"$(compgen -f -- "$2")"
        compopt -o filenames 2>/dev/null
      fi
      ;;
    directories) compopt -o dirnames 2>/dev/null ;;
  esac
}

complete -F _observatory observatory
