"""What the Flex Template's launcher starts, with the parameters as options: submits the job."""

import sys

from clickstream.pipeline.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["submit-dataflow", *sys.argv[1:]]))
