"""The process of a rank that the first one has started: it ends when that one goes away.

Light to import: the thread that watches the first rank must run before torch is loaded, which takes seconds.
"""

import os
import pickle
import signal
import threading
from multiprocessing.connection import Connection
from queue import SimpleQueue

from rnnprop_cli.execute.worker import READY, go_first_where_memory_ends, listen
from rnnprop_cli.runs.interrupt import ENDING, StopRequest


def work(descriptor: int) -> None:
    """Follows the first rank; never returns."""
    for number in (signal.SIGINT, *ENDING):  # also sent to the first rank, which says when to stop
        signal.signal(number, signal.SIG_IGN)
    go_first_where_memory_ends()
    os.set_inheritable(descriptor, False)  # a compiler that we start must not keep the socket open
    socket: Connection = Connection(descriptor)
    told: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=listen, args=(socket, told), daemon=True).start()
    from rnnprop_cli.errors import RankLostError
    from rnnprop_cli.runs.ranks import follow

    try:
        place, engine = pickle.loads(told.get())
        socket.send(READY)
        follow(place, engine, StopRequest())
    except RankLostError:
        threading.Event().wait()  # the first rank finds out which; this one ends with it
    except OSError:
        os._exit(1)
    except Exception as error:  # the first rank tells it
        socket.send(str(error) or type(error).__name__)
        os._exit(1)
    os._exit(0)
