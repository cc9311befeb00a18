#compdef observatory
# Completes the command lines of observatory in zsh: `source <(observatory completion zsh)`.

_observatory() {
  local program=${(Q)words[1]} paths prefix hint
  local -a answer offered
  local -i missed=1
  program=${program/#\~\//$HOME/}
  # It may be called by another name here, such as an alias.
  (( $+commands[$program] )) || [[ -x $program && ! -d $program ]] || program=observatory
  answer=("${(@f)$("$program" __complete zsh -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" \
    2>/dev/null)}")
  paths=$answer[1] prefix=$answer[2] hint=$answer[3]
  offered=("${(@)answer[4,-1]}")
  [[ -z $prefix ]] || compset -P "${(b)prefix}"
  if (( $#offered > 0 )); then
    _describe -V observatory offered && missed=0
  fi
  case $paths in
    files) _files && missed=0 ;;
    directories) _files -/ && missed=0 ;;
    *) (( $#offered > 0 )) || [[ -z $hint ]] || _message -r "${hint//\%/%%}" ;;
  esac
  return missed
}

if [[ $funcstack[1] == _observatory ]]; then
  # Found in a directory of fpath: this is the first call.
  _observatory "$@"
else
  compdef _observatory observatory
fi
