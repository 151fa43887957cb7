# Runs one server for the process that holds the other end of stdin, and ends with it.
# Arguments: directory to remove at the end, log file, command…
# Orders, one a line: "start", "leader SIGNAL", "tree SIGNAL", "reap". Each is answered by one line.
dir=$1
log=$2
shift 2
server=

# The server and all its descendants; those that made sessions of their own too.
family() {
    for list in "/proc/$1/task/"*/children; do
        children=
        read -r children 2>/dev/null <"$list"
        for child in $children; do
            (family "$child")
        done
    done
    echo "$1"
}

signal_tree() {
    [ -n "$server" ] || return 0
    members=$(family "$server")
    kill -s "$1" -- "-$server" 2>/dev/null
    # shellcheck disable=SC2086
    kill -s "$1" -- $members 2>/dev/null
    return 0
}

finish() {
    signal_tree KILL
    [ -z "$server" ] || wait "$server" 2>/dev/null
    tries=0
    until rm -rf -- "$dir" 2>/dev/null || [ "$tries" -ge 50 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    exit 0
}

trap finish HUP INT TERM

while IFS= read -r order; do
    case $order in
    start)
        setsid "$@" </dev/null >>"$log" 2>&1 &
        server=$!
        echo "$server"
        ;;
    "leader "*)
        [ -z "$server" ] || kill -s "${order#* }" -- "$server" 2>/dev/null
        echo done
        ;;
    "tree "*)
        signal_tree "${order#* }"
        echo done
        ;;
    reap)
        [ -z "$server" ] || wait "$server" 2>/dev/null
        server=
        echo done
        ;;
    *)
        echo "unknown order"
        ;;
    esac
done
finish
