"""Entry point under the name that Airbyte's build expects."""

from destination_marketo_programs.run import run

if __name__ == "__main__":
    run()
