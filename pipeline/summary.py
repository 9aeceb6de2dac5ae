from contextlib import contextmanager


class ProgressLine:
    def __init__(self, **k):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *a):
        pass

    def update(self, **k):
        pass


def print_summary(*a, **k):
    print(a, k)
